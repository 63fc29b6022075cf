"""Embeddings of OpenAI, and of every server that speaks its protocol."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.lowlevel
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from assistant_kit.embedders._answers import NoVectors, vectors_in
from assistant_kit.errors import ConfigurationError, ModelBroke
from assistant_kit.openai_failures import Source, refused, unreachable
from assistant_kit.protocols.embedder import Purpose, Vector
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.registry import UPPER_BOUND, load
from assistant_kit.side_by_side import side_by_side
from assistant_kit.text_pieces import beginning

_log = logging.getLogger("assistant_kit.embedders")

_BLANK = "\N{SPACE}"
_SHORTEN = "set EmbeddingLimits(text_tokens=…, tokens=…) to what the server reads"
_TOO_LONG = frozenset({413})  # Text Embeddings Inference, and every proxy
_COUNTED = 32  # texts between two moments for other tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingLimits:
    """What a server takes: `texts` and `tokens` in a request, `text_tokens` in a text, `requests` at once.

    The defaults are those of OpenAI's API reference (Embeddings, `input`). A small model reads less of a text: 256 or
    512 tokens are usual.
    """

    texts: int = 2_048
    tokens: int = 300_000
    text_tokens: int = 8_192
    requests: int = 4

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing could be sent."""
        if min(self.texts, self.tokens, self.text_tokens, self.requests) < 1:
            raise ConfigurationError("EmbeddingLimits: all of them are at least 1")


class OpenAIEmbedder:
    """A model behind `/v1/embeddings`.

    The key comes from OPENAI_API_KEY unless `api_key` is given (`"none"` for a server that needs none), the address
    from OPENAI_BASE_URL unless `base_url` is. A `client` that is passed in is used with its own key and address,
    without its retries, and stays open. `dimensions` shortens the vectors where the model can do that. `counter`
    counts the tokens by which texts are cut and put together; without it their bytes are counted, so that less is
    read of a long text than could be. `timeout` is the longest silence in seconds.

    Nothing is repeated here: a retry is the caller's decision, and `retry_after` is in the error.
    """

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: AsyncOpenAI | None = None,
        counter: TokenCounter | None = None,
        limits: EmbeddingLimits | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._model = model
        self._dimensions = dimensions
        self._base_url = base_url
        self._api_key = api_key
        self._client = client
        self._counter: TokenCounter = counter or load(UPPER_BOUND)()
        self._limits = limits or EmbeddingLimits()
        self._timeout = timeout
        self._way: _Way | None = None

    @property
    def name(self) -> str:
        """The name of the model, with the length of the vectors if it was given."""
        return f"openai:{self._model}" if self._dimensions is None else f"openai:{self._model}/{self._dimensions}"

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors; None unless it was given."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        """Return one vector for each text, in their order; the protocol knows no purpose.

        A text that is longer than the model reads gets the vector of its beginning, and a warning is logged. Raises
        ModelError; ConfigurationError when there is no key that can be sent.
        """
        del purpose
        if not texts:
            return []
        way = self._open()
        batches = list(_batches(await self._readable(texts), self._limits))
        answers: list[list[Vector]] = [[] for _ in batches]

        async def ask(number: int) -> None:
            async with way.slots:
                answers[number] = await self._ask(way, batches[number])

        await side_by_side([partial(ask, number) for number in range(len(batches))], limit=len(batches))
        return [vector for answer in answers for vector in answer]

    async def aclose(self) -> None:
        """Free connections; a client that was passed in stays open. May be called twice."""
        way, self._way = self._way, None
        if way is not None and way.client is not self._client:
            await way.client.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"

    async def _readable(self, texts: Sequence[str]) -> list["_Counted"]:
        """Return what is sent of each text, with its tokens."""
        limit = self._limits.text_tokens
        readable: list[_Counted] = []
        cut = 0
        for number, text in enumerate(texts):
            if number % _COUNTED == 0:
                await anyio.lowlevel.checkpoint()
            sent = beginning(text.encode("utf-8", "replace").decode() if text.strip() else _BLANK, limit, self._counter)
            cut += len(sent) < len(text)
            readable.append(_Counted(sent or _BLANK, self._counter.count(sent)))
        if cut:
            _log.warning("%s reads %d tokens of a text: %d of %d texts were cut", self.name, limit, cut, len(texts))
        return readable

    async def _ask(self, way: "_Way", texts: Sequence[str]) -> list[Vector]:
        body: dict[str, object] = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        options: openai.RequestOptions = {"max_retries": 0, "timeout": self._timeout}
        try:
            response = await way.client.post("/embeddings", body=body, cast_to=httpx2.Response, options=options)
        except openai.APIStatusError as error:
            # A server that quotes the key would have it in every traceback.
            raise refused(error, way.source) from (None if way.source.key_in(error) else error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise unreachable(error, way.source) from error
        except (openai.OpenAIError, TypeError) as error:  # a TypeError is what it has for missing credentials
            raise ConfigurationError(f"{self.name}: the OpenAI client cannot send: check its credentials") from error
        try:
            return vectors_in(response.content, texts=len(texts), dimensions=self._dimensions)
        except NoVectors as problem:
            raise ModelBroke(
                f"{way.source.address} answered with {problem}",
                model=self.name,
                status=response.status_code,
                request_id=response.headers.get("x-request-id"),
            ) from problem

    def _open(self) -> "_Way":
        """Return the way to the server from this event loop. Raises ConfigurationError."""
        loop = anyio.lowlevel.current_token()
        if self._way is None or self._way.loop != loop:  # sockets belong to the loop that opened them
            client = self._client or self._made()
            url = client.base_url
            address = f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")
            source = Source(model=self.name, address=address, client=client, shorten=_SHORTEN, too_long=_TOO_LONG)
            slots = anyio.Semaphore(self._limits.requests)
            self._way = _Way(loop=loop, client=client, source=source, slots=slots)
        return self._way

    def _made(self) -> AsyncOpenAI:
        # The client that openai makes by itself closes its sockets when it is collected, in whatever loop runs then.
        http = DefaultAsyncHttpxClient()
        try:
            client = AsyncOpenAI(api_key=self._api_key, base_url=self._base_url, max_retries=0, http_client=http)
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"{self.name}: there is no API key: set OPENAI_API_KEY or pass api_key=…; for a local server that "
                'needs none, pass api_key="none"'
            ) from error
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"{self.name}: OPENAI_BASE_URL or base_url is not an address: {error}") from error
        key = client.api_key
        if not key or not key.isascii() or not key.isprintable() or " " in key:  # HTTP libraries would quote it
            raise ConfigurationError(
                f"{self.name}: the API key is empty or has characters that cannot be sent (a line break at its end?): "
                "check OPENAI_API_KEY or api_key"
            )
        return client


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A client in its event loop, with places for requests that are under way."""

    loop: object
    client: AsyncOpenAI
    source: Source
    slots: anyio.Semaphore


@dataclass(frozen=True, slots=True)
class _Counted:
    """A text as it is sent, with its tokens."""

    text: str
    tokens: int


def _batches(texts: Sequence[_Counted], limits: EmbeddingLimits) -> Iterator[list[str]]:
    """Yield texts in groups that one request may hold, in their order."""
    batch: list[str] = []
    room = limits.tokens
    for text in texts:
        if batch and (len(batch) == limits.texts or text.tokens > room):
            yield batch
            batch, room = [], limits.tokens
        batch.append(text.text)
        room -= text.tokens
    yield batch

"""The way to a server: one `AsyncOpenAI` at its low level, bytes out and bytes in."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol, cast

import anyio
import anyio.lowlevel
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from assistant_kit.errors import ConfigurationError
from assistant_kit.models._openai.failures import Source, interrupted, refused, unreachable
from assistant_kit.models._openai.rate_limits import rate_limits
from assistant_kit.protocols.model import ModelRequest, Progress
from assistant_kit.usage import RateLimits

CLOSING = 1.0
"""Seconds that may pass until a connection is closed."""
LINGERING = 0.1
"""Seconds to wait for the end of a body whose last event has come: it comes with it, or the connection is given up."""


_UNTIL_CANCELLED = httpx2.Timeout(None, connect=5.0)
"""One deadline bounds the whole call; a timer around each read and write would cost 5 % of a request (measured)."""

_TELLTALES = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
_NOT_SENT = cast("dict[str, str]", {f"X-Stainless-{name}": openai.Omit() for name in _TELLTALES})
"""What the client would tell of this machine with each request; the types do not know that it can be left out."""


class Answer(Protocol):
    """What reads an answer, as a stream of events or as one body."""

    request_id: str | None
    limits: RateLimits | None
    over: bool
    """Whether the event that ends the answer has come."""
    begun: bool
    """Whether anything of the answer itself has come."""

    feed: Callable[[bytes], None]
    """Reads the next bytes of a stream of events. Raises ModelError."""

    def end(self) -> None:
        """Take note that the stream has ended. Raises ModelError."""
        ...

    def body(self, data: bytes) -> None:
        """Read a whole body. Raises ModelError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A client, and what is known of the server behind it. `is_openai`: it is OpenAI's own, or Azure's."""

    client: AsyncOpenAI
    source: Source
    is_openai: bool


class Connection:
    """The client of one model, made on first use and once for each event loop; a client that was given is kept.

    `timeout` is the longest silence in seconds; None leaves it to the deadline of the call, or, where there is none,
    to the client (600 s); 5 s to connect.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None,
        base_url: str | None,
        client: AsyncOpenAI | None,
        timeout: float | None,
    ) -> None:
        self.name = f"openai:{model}"
        self._api_key = api_key
        self._base_url = base_url
        self._timeout = timeout
        self._given_client = client
        self._given = None if client is None else self._server(client)
        self._made: tuple[object, Server] | None = None
        self._upstream: str | None = None

    def server(self) -> "Server":
        """Return the server of this event loop. Raises ConfigurationError when there is no key that can be sent."""
        if self._given is not None:
            return self._given
        loop = anyio.lowlevel.current_token()
        if self._made is None or self._made[0] != loop:  # sockets belong to the loop that opened them
            self._made = (loop, self._server(self._make()))
        return self._made[1]

    @property
    def upstream(self) -> str:
        """The name of the model and the address of its server; without an address when it cannot be asked yet."""
        if self._upstream is None:
            try:
                self._upstream = f"{self.name} at {self.server().source.address}"
            except ConfigurationError:
                return self.name
        return self._upstream

    async def exchange(self, path: str, body: bytes, answer: Answer, request: ModelRequest) -> None:
        """Post a body and let `answer` read what comes back. Raises ModelError and ConfigurationError."""
        server = self.server()
        # With a deadline, whoever asks cancels.
        response = await self._post(server, path, body, bounded=request.deadline.at < inf)
        await _read(response, answer, server.source, request)

    async def aclose(self) -> None:
        """Close the client that was made here; one that was given stays open."""
        made, self._made = self._made, None
        if made is not None:
            await made[1].client.close()

    def _make(self) -> AsyncOpenAI:
        # The client that openai makes by itself closes its sockets when it is collected, in whatever loop runs then.
        http = DefaultAsyncHttpxClient()
        try:
            client = AsyncOpenAI(
                api_key=self._api_key,
                base_url=self._base_url,
                max_retries=0,
                http_client=http,
                default_headers=_NOT_SENT,
            )
        except openai.OpenAIError as error:
            raise ConfigurationError(
                f"{self.name}: there is no API key: set OPENAI_API_KEY or pass api_key=…; for a local server that "
                'needs none, pass api_key="none"'
            ) from error
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"{self.name}: OPENAI_BASE_URL or base_url is not an address: {error}") from error
        if not client.api_key:
            raise ConfigurationError(f"{self.name}: the API key is empty: set OPENAI_API_KEY or pass api_key=…")
        return client

    def _server(self, client: AsyncOpenAI) -> "Server":
        key, url = client.api_key, client.base_url
        if not key.isascii() or not key.isprintable() or " " in key:  # HTTP libraries would quote it in their error
            raise ConfigurationError(
                f"{self.name}: the API key has characters that cannot be sent (a line break or a space at its end?): "
                "check OPENAI_API_KEY or api_key"
            )
        address = f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")
        return Server(
            client=client,
            source=Source(model=self.name, address=address, client=client),
            is_openai=url.host.endswith(("api.openai.com", ".openai.azure.com")),
        )

    async def _post(self, server: "Server", path: str, body: bytes, *, bounded: bool) -> httpx2.Response:
        options: openai.RequestOptions = {"max_retries": 0} if server.client is self._given_client else {}
        if self._timeout is not None:
            options["timeout"] = self._timeout
        elif bounded:
            options["timeout"] = _UNTIL_CANCELLED
        stream: bool = True  # the body is always read here, so that a break before it and in it can be told apart
        # The address of a client made here is complete: openai need not join it for each request.
        url = path if server.client is self._given_client else server.source.address + path
        try:
            opened = await server.client.post(
                url, content=body, cast_to=httpx2.Response, options=options, stream=stream
            )
        except openai.APIStatusError as error:
            # A server that quotes the key would have it in every traceback.
            raise refused(error, server.source) from (None if server.source.key_in(error) else error)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise unreachable(error, server.source) from error
        except BaseExceptionGroup:  # on trio, what connects raises cancellation in a group
            await anyio.lowlevel.checkpoint_if_cancelled()
            raise
        except (openai.OpenAIError, TypeError) as error:  # a TypeError is what it has for missing credentials
            raise ConfigurationError(f"{self.name}: the OpenAI client cannot send: check its credentials") from error
        return opened


async def _read(response: httpx2.Response, answer: Answer, source: Source, request: ModelRequest) -> None:
    answer.request_id = request_id = response.headers.get("x-request-id")
    answer.limits = rate_limits(response.headers.raw)
    kind = response.headers.get("content-type", "text/event-stream")
    parts = _parts(response)
    first = b""
    try:
        first = await anext(parts, b"")
        if request.stream and kind.startswith("text/event-stream"):
            await _read_events(first, parts, answer, request.progress)
        else:
            answer.body(first + b"".join([part async for part in parts]))
    except httpx2.HTTPError as error:
        await _leave(response, parts)
        raise (interrupted(error, source, request_id) if first else unreachable(error, source)) from error
    except BaseException:
        await _leave(response, parts)
        raise
    await response.aclose()


async def _leave(response: httpx2.Response, parts: AsyncGenerator[bytes]) -> None:
    """Close the connection of an answer that is not read to its end.

    The generators of the HTTP libraries do not close one another when they are left, so they are cancelled where they
    wait; what they hold already comes first.
    """
    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLOSING):
        with anyio.CancelScope() as scope, contextlib.suppress(httpx2.HTTPError):
            scope.cancel()
            async for _ in parts:
                pass
        await response.aclose()


async def _read_events(first: bytes, parts: AsyncGenerator[bytes], answer: Answer, progress: Progress) -> None:
    feed = answer.feed
    feed(first)
    progress.beats += 1
    progress.begun = answer.begun
    if not answer.over:
        async for part in parts:
            feed(part)
            progress.beats += 1
            if not progress.begun:
                progress.begun = answer.begun
            if answer.over:
                break
        else:
            answer.end()
            return
    with anyio.move_on_after(LINGERING), contextlib.suppress(httpx2.HTTPError):  # a body read whole leaves a connection
        async for _ in parts:  # that serves again
            pass


def _parts(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """Return the body in pieces: where nothing has to be unpacked, without the layers that would do it."""
    stream = response.stream
    if isinstance(stream, httpx2.AsyncByteStream) and "content-encoding" not in response.headers:
        return cast("AsyncGenerator[bytes]", aiter(stream))  # the client of httpx2 wraps every stream in a generator
    return response.aiter_bytes()

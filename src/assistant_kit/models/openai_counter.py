"""What a whole request costs, counted by OpenAI."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from openai import AsyncOpenAI

from assistant_kit.models._openai.body import dump
from assistant_kit.models._openai.connection import Connection
from assistant_kit.models._openai.failures import Source, broke, parsed, shown
from assistant_kit.models._openai.responses_request import ResponsesRequests
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.usage import RateLimits

PATH = "/responses/input_tokens"
_COUNTED = frozenset(
    {"input", "instructions", "model", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools"}
)
"""The settings of a request that this route knows; it refuses others."""


class OpenAIRequestCounter:
    """Counts requests by asking the server of a model: exactly, pictures, documents and hosted tools included.

    A `RequestCounter` over `responses.input_tokens`, which OpenAI's server has and compatible ones seldom have. The
    whole request is sent, and nothing is generated. The parameters are those of `OpenAIResponses`.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncOpenAI | None = None,
        timeout: float | None = None,
    ) -> None:
        self._model = model
        self._connection = Connection(model, api_key=api_key, base_url=base_url, client=client, timeout=timeout)
        self._requests = ResponsesRequests(model)

    async def count_request(self, request: ModelRequest) -> int:
        """Return the tokens of a request as its model would read it.

        Raises what `OpenAIResponses.respond` does; ModelRejected when the server has no such route.
        """
        server = self._connection.server()
        body = parsed(self._requests.body(request, is_openai=server.is_openai), server.source, None)
        answer = _Count(server.source)
        counted = dump({key: value for key, value in body.items() if key in _COUNTED})
        await self._connection.exchange(PATH, counted, answer, replace(request, stream=False))
        return answer.tokens

    async def aclose(self) -> None:
        """Free connections; a client that was passed in stays open. May be called twice."""
        await self._connection.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"


class _Count:
    """Reads the number that the server answers with."""

    def __init__(self, source: Source) -> None:
        self.request_id: str | None = None
        self.limits: RateLimits | None = None
        self.over = False
        self.begun = False
        self.tokens = 0
        self.feed: Callable[[bytes], None] = self.body
        self._source = source

    def end(self) -> None:
        """Nothing is streamed here."""

    def body(self, data: bytes) -> None:
        """Read a whole body. Raises ModelBroke when it holds no number of tokens."""
        tokens: Any = parsed(data, self._source, self.request_id).get("input_tokens")
        if type(tokens) is not int or tokens < 0:
            raise broke(f"what came back is no count: {shown(data, self._source)}", self._source, self.request_id)
        self.tokens = tokens
        self.over = True

"""OpenAI's models and those of compatible servers, over the official client."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from openai import AsyncOpenAI

from assistant_kit.errors import ModelError, ModelRejected
from assistant_kit.models._openai import chat_request, responses_request
from assistant_kit.models._openai.chat_answer import ChatAnswer
from assistant_kit.models._openai.chat_request import ChatRequests
from assistant_kit.models._openai.connection import Answer, Connection
from assistant_kit.models._openai.failures import is_missing_route, refuses_sealing
from assistant_kit.models._openai.responses_answer import ResponsesAnswer
from assistant_kit.models._openai.responses_request import ResponsesRequests
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse


class _OnConnection:
    """What all models here have in common: a name and a connection."""

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

    @property
    def name(self) -> str:
        """The name in journals, events and errors, such as `openai:gpt-5.6-luna`."""
        return self._connection.name

    async def aclose(self) -> None:
        """Free connections; a client that was passed in stays open. May be called twice."""
        await self._connection.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"


class OpenAIResponses(_OnConnection):
    """A model behind the Responses API.

    The key comes from OPENAI_API_KEY unless `api_key` is given (`"none"` for a server that needs none), the address
    from OPENAI_BASE_URL unless `base_url` is. `timeout` is the longest silence in seconds. A `client` that is passed
    in is used as it is, without its retries, and left open.
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
        super().__init__(model, api_key=api_key, base_url=base_url, client=client, timeout=timeout)
        self._requests = ResponsesRequests(model)

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request. Raises ModelError; ConfigurationError without a key; InputError for an empty part."""
        return await respond_by_responses(self._connection, self._requests, request, emit)

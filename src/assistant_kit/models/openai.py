"""OpenAI's models, and those of compatible servers, over the official client."""

from openai import AsyncOpenAI

from assistant_kit.errors import ModelError, ModelRejected, ModelUnavailable
from assistant_kit.models._openai.connection import Connection
from assistant_kit.models._openai.failures import is_missing_route
from assistant_kit.models._openai.wires import ChatWire, ResponsesWire
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse


class _OverConnection:
    """What the models here have in common."""

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
        self._responses = ResponsesWire(self._connection, model)
        self._chat = ChatWire(self._connection, model)

    @property
    def name(self) -> str:
        """The name in journals, events and errors, such as `openai:gpt-5.6-luna`."""
        return self._connection.name

    @property
    def upstream(self) -> str:
        """The name and the address: what fails and is limited as one."""
        return self._connection.upstream

    @property
    def counts_as_openai(self) -> bool:
        """Whether the server is OpenAI's own, or Azure's. Raises ConfigurationError when there is no key."""
        return self._connection.server().is_openai

    async def aclose(self) -> None:
        """Free connections; a client that was passed in stays open. May be called twice."""
        await self._connection.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"


class OpenAIResponses(_OverConnection):
    """A model behind the Responses API.

    The key comes from OPENAI_API_KEY unless `api_key` is given (`"none"` for a server that needs none), the address
    from OPENAI_BASE_URL unless `base_url` is. `timeout` is the longest silence in seconds; None leaves it to the
    deadline of the run (without one: 600 s), and 5 s to connect. A `client` that is passed in is used with its own key
    and address, without its retries, and stays open.
    """

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request.

        Raises ModelError; ConfigurationError when there is no key that can be sent; InputError when a picture or a
        file has no content.
        """
        return await self._responses.respond(request, emit)


class OpenAIChat(_OverConnection):
    """A model behind Chat Completions; the parameters are those of `OpenAIResponses`."""

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request; raises what `OpenAIResponses.respond` does."""
        return await self._chat.respond(request, emit)


class OpenAI(_OverConnection):
    """A model behind the Responses API, or behind Chat Completions where a server has only that.

    This is what `"openai:NAME"` stands for; the parameters are those of `OpenAIResponses`. A server that has no
    Responses route (404, 405 or 501, and not about the model) is asked by Chat Completions from then on.
    """

    _has_responses = True

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request; raises what `OpenAIResponses.respond` does."""
        if not self._has_responses:
            return await self._chat.respond(request, emit)
        try:
            return await self._responses.respond(request, emit)
        except (ModelRejected, ModelUnavailable) as error:
            if self._connection.server().is_openai or not is_missing_route(error):
                raise
        try:
            response = await self._chat.respond(request, emit)
        except ModelError as error:
            self._has_responses = is_missing_route(error)  # neither route: nothing is learned
            raise
        self._has_responses = False
        return response

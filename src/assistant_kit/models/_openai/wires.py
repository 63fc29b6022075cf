"""The two wire formats, each as one way to put a request to a server."""

from assistant_kit.errors import ModelRejected
from assistant_kit.events import Delta
from assistant_kit.models._openai import chat_request, responses_request
from assistant_kit.models._openai.chat_answer import ChatAnswer
from assistant_kit.models._openai.chat_request import ChatRequests
from assistant_kit.models._openai.connection import Connection
from assistant_kit.models._openai.failures import refuses_sealing
from assistant_kit.models._openai.responses_answer import ResponsesAnswer
from assistant_kit.models._openai.responses_request import ResponsesRequests
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse


class ResponsesWire:
    """The Responses API."""

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._requests = ResponsesRequests(model)

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request; once more without encrypted reasoning if that is all that the server refuses."""
        try:
            return await self._respond(request, emit)
        except ModelRejected as error:
            if not (self._requests.sealed and refuses_sealing(error)):
                raise
        self._requests.sealed = False
        return await self._respond(request, emit)

    async def _respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        server = self._connection.server()
        answer = ResponsesAnswer(server.source, request.items, emit if request.stream else _nobody)
        body = self._requests.body(request, is_openai=server.is_openai)
        await self._connection.exchange(responses_request.PATH, body, answer, request)
        return answer.response()


class ChatWire:
    """Chat Completions."""

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._requests = ChatRequests(model)

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        """Answer a request."""
        server = self._connection.server()
        answer = ChatAnswer(server.source, request.items, emit if request.stream else _nobody)
        body = self._requests.body(request, is_openai=server.is_openai)
        await self._connection.exchange(chat_request.PATH, body, answer, request)
        return answer.response()


def _nobody(_: Delta) -> None:
    """Tell nobody."""

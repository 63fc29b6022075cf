"""The caller of a tool in a session of the older protocol: it is asked during the call, over the session."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

import anyio
from mcp import MCPError
from mcp.server.session import ServerSession
from mcp.shared.message import ServerMessageMetadata
from mcp.types import RequestId
from pydantic import ValidationError

from assistant_kit.errors import CannotAsk, NoAnswer
from assistant_kit.integrations.serving.call_log import CallLog
from assistant_kit.integrations.serving.questions import RESULT, answer_of, is_taken, request_of
from assistant_kit.messages import Json
from assistant_kit.protocols.caller import Answer, Caller, Kind, Level, Question
from assistant_kit.side_by_side import side_by_side

_AT_ONCE: Final = 8  # questions that are sent beside each other
_ATTEMPTS: Final = 3  # times that a question is asked whose answers do not fit
_ENDED: Final = "the call has ended"


class SessionCaller(Caller):
    """The caller of one call, until it is closed. `request` is the id of the call, to which questions belong."""

    def __init__(self, session: ServerSession, request: RequestId | None, log: CallLog) -> None:
        """Take the session."""
        self._session = session
        self._related = ServerMessageMetadata(related_request_id=request)
        self._log = log
        self._open: set[anyio.CancelScope] = set()
        self._closed = False

    def close(self) -> None:
        """Ask nothing more, and give up what was asked: the call has ended."""
        self._closed = True
        for scope in self._open:
            scope.cancel()

    def can(self, kind: Kind) -> bool:
        """Tell whether questions of a kind are taken."""
        return self._session.can_send_request and is_taken(kind, self._session.client_capabilities)

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Send the questions and wait for the answers. Raises CannotAsk, NoAnswer."""
        if self._closed:
            raise NoAnswer(", ".join(questions), _ENDED)
        for question in questions.values():
            if not self.can(question.kind):
                raise CannotAsk(question.kind)
        answers: dict[str, Answer] = {}

        async def one(name: str, question: Question) -> None:
            answers[name] = await self._answer(name, question)

        with self._while_open(", ".join(questions)):
            await side_by_side([partial(one, *each) for each in questions.items()], limit=_AT_ONCE)
        return {name: answers[name] for name in questions}

    def log(self, level: Level, data: Json, logger: str | None = None) -> None:
        """Tell the caller a line of the log."""
        self._log.write(level, data, logger)

    async def _answer(self, name: str, question: Question) -> Answer:
        """Ask, and again while the answer does not fit. Raises NoAnswer."""
        for _ in range(_ATTEMPTS):
            request = request_of(question, page_id=uuid4().hex)
            try:
                result = await self._session.send_request(request, RESULT[question.kind], metadata=self._related)
            except MCPError as error:
                raise NoAnswer(name, f"error {error.code}") from error
            except ValidationError:
                continue
            answer = answer_of(question, result.model_dump(mode="json", by_alias=True))
            if answer is not None:
                return answer
        raise NoAnswer(name, "what it says does not fit the question")

    @contextmanager
    def _while_open(self, names: str) -> Generator[None]:
        """Give up at the end of the call. A thread on trio is not reached by the cancellation of its call."""
        scope = anyio.CancelScope()
        self._open.add(scope)
        try:
            with scope:
                yield
        finally:
            self._open.discard(scope)
        if scope.cancelled_caught:
            raise NoAnswer(names, _ENDED)

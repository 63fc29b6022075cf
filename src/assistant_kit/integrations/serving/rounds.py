"""A call in rounds (2026-07-28): it ends with questions, and is made again with what its caller has answered.

What was asked and answered travels with the caller, sealed by the SDK. So any worker can serve the next round.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint
from mcp.types import ClientCapabilities, InputRequest, InputRequiredResult, InputResponses
from pydantic import BaseModel, ValidationError

from assistant_kit.errors import CannotAsk, NoAnswer
from assistant_kit.integrations.serving.call_log import CallLog
from assistant_kit.integrations.serving.questions import answer_of, is_taken, request_of
from assistant_kit.messages import Json
from assistant_kit.protocols.caller import Answer, Caller, Kind, Level, Question

_VERSION: Final = 1  # of the state that travels
_ARRIVES: Final = (
    0.1  # seconds in which the cancellation of a call arrives; a thread, or a shield, is not reached by it
)


class _State(BaseModel):
    """What travels: names on the wire and the questions of the last round, and the answers of all, by question."""

    v: int
    asked: dict[str, str]
    answered: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known when a round begins: answers by question, and by name those of a caller who was not asked yet."""

    answered: Mapping[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    offered: Mapping[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def known(state: str | None, responses: InputResponses | None) -> Known:
    """Return what a call brings along. An answer counts for the question that was asked under its name, no other.

    A caller who brings no state at all has not been asked by this server: it knows the tool, and answers in advance.
    """
    given = {
        name: each.model_dump(mode="json", by_alias=True, exclude_none=True) for name, each in (responses or {}).items()
    }
    if state is None:
        return Known(offered=given)
    try:
        past = _State.model_validate(json.loads(state))
    except (ValueError, ValidationError):  # sealed here, so of another version of this library: asked again
        return Known()
    if past.v != _VERSION:
        return Known()
    new = {past.asked[name]: each for name, each in given.items() if name in past.asked}
    return Known(answered={**past.answered, **new})


class Round(Caller):
    """The caller of one round. `leave` is called when the round is to end: it cancels the call."""

    def __init__(self, *, known: Known, capabilities: ClientCapabilities | None, log: CallLog) -> None:
        """Take what the caller brings along, and what it has declared."""
        self.leave: Callable[[], None] = _stay
        self._answered = dict(known.answered)
        self._offered = known.offered
        self._capabilities = capabilities
        self._log = log
        self._times: Counter[str] = Counter()
        self._pending: dict[str, tuple[str, InputRequest]] = {}
        self._closed = False

    def close(self) -> None:
        """Take no more questions: the round has ended."""
        self._closed = True

    @property
    def is_pending(self) -> bool:
        """Whether there are questions that the caller has to answer first."""
        return bool(self._pending)

    def result(self) -> InputRequiredResult:
        """Return what the round ends with: its questions, and what is known."""
        asked = {wire: question for wire, (question, _) in self._pending.items()}
        state = _State(v=_VERSION, asked=asked, answered=self._answered)
        requests = {wire: request for wire, (_, request) in self._pending.items()}
        # Escapes what is no text, half a character for instance, which the SDK hands on as it is.
        return InputRequiredResult(input_requests=requests, request_state=json.dumps(state.model_dump(mode="json")))

    def can(self, kind: Kind) -> bool:
        """Tell whether questions of a kind are taken."""
        return is_taken(kind, self._capabilities)

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Return the answers, or end the round by cancelling the call. Raises CannotAsk, NoAnswer."""
        if self._closed:
            raise NoAnswer(", ".join(questions), "the call has ended")
        for question in questions.values():
            if not self.can(question.kind):
                raise CannotAsk(question.kind)
        found = {name: self._found(name, question) for name, question in questions.items()}
        await checkpoint()  # others run, also while a loop gets answers that are known
        answers = {name: answer for name, answer in found.items() if answer is not None}
        if len(answers) < len(found):
            self.leave()
            with anyio.move_on_after(_ARRIVES):
                await anyio.sleep_forever()
            raise NoAnswer(next(iter(found.keys() - answers.keys())), "the call is made again when it is answered")
        return answers

    def log(self, level: Level, data: Json, logger: str | None = None) -> None:
        """Tell the caller a line of the log."""
        self._log.write(level, data, logger)

    def _found(self, name: str, question: Question) -> Answer | None:
        """Return the answer to a question; None when the caller is to be asked, which is noted."""
        request = request_of(question)
        content = _digest(name, request)
        self._times[content] += 1
        key = f"{content}.{self._times[content]}"
        given = self._answered.get(key)
        if given is None and self._times[content] == 1:
            given = self._offered.get(name)
        answer = None if given is None else answer_of(question, given)
        if given is not None and answer is not None:
            self._answered[key] = given
        else:
            self._answered.pop(key, None)
            self._pending[self._free(name)] = (key, request)
        return answer

    def _free(self, name: str) -> str:
        """Return a name on the wire that no other question of this round has."""
        wire, number = name, 1
        while wire in self._pending:
            number += 1
            wire = f"{name}#{number}"
        return wire


def _stay() -> None:
    """End nothing: there is no call."""


def _digest(name: str, request: InputRequest) -> str:
    content = [name, request.model_dump(mode="json", by_alias=True, exclude_none=True)]
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

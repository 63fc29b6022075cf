"""The provider: two models that do the same in other words, and fail as a case has it."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from tests.mid_stream.cases import Case, Where, Wire
from tests.openai_server import Answer, BrokenJson, Call, Cut, ErrorEvent, Hang, Raw, Reply, Request
from tests.openai_server.chat_wire import ChatWire
from tests.openai_server.responses_wire import ResponsesWire
from tests.openai_server.wire import EventStream, Ids

MODEL = "model"
OTHER = "other"
FINE = "Fine."
"""What is answered to the message after the turn in which something fails."""
_HANG = 60.0
_CASE = re.compile(r"case (\d+)( again)?")
_OVERLOADED = "server_is_overloaded"
"""An error that may pass, by OpenAI's name for it."""


def message(number: int, *, again: bool = False) -> str:
    """Return what the user says in a case: the provider knows by it what is asked. "Again" nothing fails."""
    return f"case {number}" + " again" * again


def answer(where: Where, model: str) -> Answer:
    """Return what a model says in one of the places where a stream may fail."""
    own = "" if model == MODEL else "Now another: "
    if where == "the final answer":
        return Answer(pieces=(own + "It is ", "paid, ", "and I ", "have looked."))
    calls = tuple(Call(name, {"what": "the bill"}, f"call_{model}_{name}") for name in ("pay", "look"))
    if where == "calls alone":
        return Answer(tool_calls=calls, argument_pieces=2)
    pieces = (own + "Let me ", "pay, ", "and look. ")
    return Answer(reasoning="Pay first.", pieces=pieces, tool_calls=calls, argument_pieces=2)


def event_count(wire: Wire, where: Where) -> int:
    """Return how many events an answer has, with those that end it."""
    return len(_events(wire, where, MODEL, {}))


def answer_events(wire: Wire, where: Where) -> int:
    """Return after how many events the answer itself is there, but not its end: a failure up to there is felt."""
    return len(_stream(wire, where, MODEL, {}).events)


def _events(wire: Wire, where: Where, model: str, body: dict[str, Any]) -> list[bytes]:
    stream = _stream(wire, where, model, body)
    return [*stream.events, *stream.ending, *([stream.done] if stream.done else [])]


def _stream(wire: Wire, where: Where, model: str, body: dict[str, Any]) -> EventStream:
    shape = ResponsesWire(Ids()) if wire == "responses" else ChatWire(Ids())
    return shape.stream(answer(where, model), body or {"stream_options": {"include_usage": True}})


@dataclass(slots=True)
class Provider:
    """Answers requests: the script of a test server. `requests` counts those of the first turn of each case."""

    cases: dict[int, Case] = field(default_factory=dict[int, Case])
    requests: Counter[int] = field(default_factory=Counter[int])
    _struck: set[int] = field(default_factory=set[int])

    def __call__(self, request: Request) -> Reply:
        """Answer a request by what the user said last."""
        said = list(_CASE.finditer(request.raw.decode()))[-1]
        if said[2] is not None:
            return Answer(FINE)
        case = self.cases[int(said[1])]
        self.requests[case.number] += 1
        model = str(request.body["model"])
        step = 2 if _has_results(request) else 1
        where = case.where if step == case.step else "words and calls" if step == 1 else "the final answer"
        if step == case.step and self._strikes(case, model):
            return _failing(case, model, request)
        return answer(where, model)

    def _strikes(self, case: Case, model: str) -> bool:
        if case.reach != "once":
            return case.reach == "everywhere" or model == MODEL
        first = case.number not in self._struck
        self._struck.add(case.number)
        return first


def _has_results(request: Request) -> bool:
    """Tell whether tools have been called: in the only turn in which any are."""
    if request.route == "chat":
        return any(item["role"] == "tool" for item in request.body["messages"])
    return any(item.get("type") == "function_call_output" for item in request.body["input"])


def _failing(case: Case, model: str, request: Request) -> Reply:
    whole, after = answer(case.where, model), case.index
    match case.kind:
        case "cut":
            return Cut(after, whole)
        case "failed":
            return ErrorEvent(after_events=after, answer=whole)
        case "overloaded":
            return replace(ErrorEvent(after_events=after, answer=whole), code=_OVERLOADED)
        case "hang":
            return Hang(_HANG, after, whole)
        case "broken JSON":
            return BrokenJson(after, whole)
        case "early end":
            return _ending_early(_events(case.wire, case.where, model, request.body)[:after])


def _ending_early(events: list[bytes]) -> Raw:
    """Return a stream that is whole for HTTP, and not for those who wait for its last event."""
    body = b"".join(events)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n"
    return Raw(head.encode() + b"connection: close\r\n\r\n" + body)

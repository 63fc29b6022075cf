"""What a reader of a turn has before them, and what has to be said so that it is what the journal holds.

All of it are pure functions of events and entries: a worker that goes on with the turn of a dead one decides by them.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, cast

from assistant_kit.entries import ApprovalDecided, Measured, ModelResponded, ToolFinished, TurnStarted
from assistant_kit.events import TextRetracted, Token, ToolRequest, ToolResult
from assistant_kit.integrations.streaming.wire import data_of
from assistant_kit.messages import AssistantMessage, Json, JsonObject, Outcome, Part, Text, ToolCall, text_of
from assistant_kit.protocols.event_log import Entry, NewEvent
from assistant_kit.run.call_digest import parsed_arguments

_log = logging.getLogger("assistant_kit.streaming")
MESSAGE: Final = "message"
APPROVED: Final = "approved"
ANSWER: Final = ("token", "refusal_token")
"""What the text of an answer consists of."""

Said: TypeAlias = Callable[[Sequence[Part]], JsonObject]
"""Returns what a `message` event says of the content of a user's message, such as `{"text", "files"}`."""

_LOST: Final = "This call was lost with the worker that had asked for it."


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCall:
    """A tool call before a reader. It `waits` for a decision, was `asked` for, and has an `outcome` in the end."""

    call_id: str
    tool: str
    arguments: Json = None
    waits: bool = False
    asked: bool = False
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What stands before a reader: the turn of `request_id`, the text of its answer so far, its calls.

    `ended` tells that the turn has come to its end, or to a call that waits.
    """

    request_id: str = ""
    text: str = ""
    calls: tuple[ShownCall, ...] = ()
    ended: bool = False

    def with_call(self, call: ShownCall) -> "Shown":
        """Show a call: in the place of the open one of this id, if there is one."""
        known = self.open_call(call.call_id)
        if known is None:
            return replace(self, calls=(*self.calls, call))
        return replace(self, calls=tuple(call if each is known else each for each in self.calls))

    def open_call(self, call_id: str) -> ShownCall | None:
        """Return the call of this id that has no outcome yet."""
        return next((call for call in self.calls if call.call_id == call_id and call.outcome is None), None)


def shown_after(shown: Shown, name: str, data: JsonObject) -> Shown:
    """Return what a reader has before them after one more event."""
    match name:
        case "message":
            return Shown(request_id=str(data["request_id"]))
        case "token" | "refusal_token":
            return replace(shown, text=shown.text + str(data["text"]), ended=False)
        case "text_retracted":
            return replace(shown, text=shown.text.removesuffix(str(data["text"])))
        case "complete" | "error":
            return replace(shown, ended=True)
        case "tool_request" | "tool_result" | "approval_required" | "approved":
            return replace(_with_call(shown, name, data), ended=False)
        case _:
            return shown


def _with_call(shown: Shown, name: str, data: JsonObject) -> Shown:
    call_id = str(data["call_id"])
    call = shown.open_call(call_id) or ShownCall(
        call_id=call_id, tool=str(data.get("tool", "")), arguments=data.get("arguments")
    )
    if name == "tool_result":
        return shown.with_call(replace(call, outcome=cast("Outcome", data["outcome"]), waits=False))
    asked = call.asked or name == "tool_request"
    return shown.with_call(replace(call, waits=name == "approval_required", asked=asked))


def shown_of(entries: Iterable[Entry]) -> Shown:
    """Return what a reader has before them who has read these entries."""
    shown = Shown()
    for entry in entries:
        shown = shown_after(shown, entry.name, entry.data)
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A call that a recorded response asks for, with its recorded end and decision, as far as there are any."""

    request: ToolRequest
    result: ToolResult | None
    approved: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """A recorded response: its text, and its calls. `prompted` says that the answer before it was not accepted."""

    text: str
    calls: tuple[RecordedCall, ...] = ()
    prompted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTurn:
    """A turn as the journal has it."""

    turn: str
    request_id: str
    message: JsonObject
    steps: tuple[RecordedStep, ...] = field(default=())

    @property
    def text(self) -> str:
        """The text that stands before a reader, without what was not accepted."""
        return "".join(self.texts)

    @property
    def texts(self) -> Sequence[str]:
        """The text of each step; empty where it was not accepted."""
        later = (*self.steps, None)[1:]
        return [
            "" if after is not None and after.prompted else step.text
            for step, after in zip(self.steps, later, strict=True)
        ]


def recorded_turn(entries: Sequence[Measured], said: Said | None = None) -> RecordedTurn:
    """Return a turn from its entries, which begin with its TurnStarted."""
    started = entries[0].entry
    assert isinstance(started, TurnStarted)  # noqa: S101  (a turn begins with it)
    ends = {m.entry.key: m.entry for m in entries if isinstance(m.entry, ToolFinished)}
    decisions = {m.entry.key: m.entry for m in entries if isinstance(m.entry, ApprovalDecided)}
    answers = (m.entry for m in entries if isinstance(m.entry, ModelResponded))
    return RecordedTurn(
        turn=started.turn,
        request_id=request_of(started),
        message=message_data(started, said),
        steps=tuple(_step(answer, ends, decisions) for answer in answers),
    )


def request_of(started: TurnStarted) -> str:
    """Return the id under which readers know a turn; one that was begun without a request id has the turn's own."""
    return started.turn if started.request_id is None else started.request_id


def message_data(started: TurnStarted, said: Said | None = None) -> JsonObject:
    """Return what a `message` event says of what the user said."""
    try:
        shown = (said or said_in)(started.input.content)
    except Exception as error:  # noqa: BLE001  (the application's: what is shown of a turn must not end it)
        _log.error("said= has failed, and a message is shown as it is: %s", type(error).__name__)
        shown = said_in(started.input.content)
    return {**shown, "request_id": request_of(started)}


def said_in(content: Sequence[Part]) -> JsonObject:
    """Return the text of a message and the names of its files."""
    return {
        "text": text_of(content),
        "files": [{"name": part.filename} for part in content if part.kind == "file" and part.filename],
    }


def _step(
    answer: ModelResponded, ends: Mapping[str, ToolFinished], decisions: Mapping[str, ApprovalDecided]
) -> RecordedStep:
    calls = [item for item in answer.items if isinstance(item, ToolCall)]
    keyed = [(f"{answer.step}.{index}", call) for index, call in enumerate(calls)]
    return RecordedStep(
        text="".join(item.text + (item.refusal or "") for item in answer.items if isinstance(item, AssistantMessage)),
        calls=tuple(_recorded_call(call, ends.get(key), decisions.get(key)) for key, call in keyed),
        prompted=answer.prompt is not None,
    )


def _recorded_call(call: ToolCall, end: ToolFinished | None, decision: ApprovalDecided | None) -> RecordedCall:
    request = ToolRequest(call_id=call.call_id, tool=call.name, arguments=parsed_arguments(call.arguments))
    result = end and ToolResult(
        call_id=end.call_id, tool=end.tool, outcome=end.outcome, content=end.content, untrusted=end.untrusted
    )
    return RecordedCall(request=request, result=result, approved=None if decision is None else decision.approved)


def repair(shown: Shown, recorded: RecordedTurn) -> Sequence[NewEvent]:
    """Return what has to be said to a reader so that they have before them what is recorded of a turn.

    What is made anew is retracted first. Calls that are recorded without an end are left to whoever makes them.
    """
    said = len(_common(shown.text, recorded.text))
    events: list[NewEvent] = []
    if shown.text[said:]:
        events.append(_event(TextRetracted(text=shown.text[said:])))
    left = list(shown.calls)
    for step, text in zip(recorded.steps, recorded.texts, strict=True):
        if text[said:]:
            events.append(_event(Token(text[said:])))
        said = max(0, said - len(text))
        for call in step.calls:
            known = next((each for each in left if each.call_id == call.request.call_id), None)
            if known is not None:
                left.remove(known)
            events += _call_events(known, call)
    lost = (call for call in left if call.outcome is None)
    return (*events, *(_event(_lost(call)) for call in lost))


def _call_events(known: ShownCall | None, call: RecordedCall) -> Sequence[NewEvent]:
    """Return what is missing of a call: that it was decided on, that it was asked for, what became of it."""
    events: list[NewEvent] = []
    if known is not None and known.waits and call.approved is not None:
        events.append(approved_event(call.request.call_id, approved=call.approved))
    if call.result is not None:
        if known is None:
            events.append(_event(call.request))
        if known is None or known.outcome is None:
            events.append(_event(call.result))
    return events


def approved_event(call_id: str, *, approved: bool) -> NewEvent:
    """Return the event that says how somebody has decided."""
    return NewEvent(name=APPROVED, data={"call_id": call_id, "approved": approved})


def _lost(call: ShownCall) -> ToolResult:
    """Return the end of a call of a response that was lost: another response takes its place."""
    return ToolResult(call_id=call.call_id, tool=call.tool, outcome="cancelled", content=(Text(text=_LOST),))


def _event(event: Token | TextRetracted | ToolRequest | ToolResult) -> NewEvent:
    return NewEvent(name=event.kind, data=data_of(event))


def _common(one: str, other: str) -> str:
    """Return what two texts begin with."""
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]

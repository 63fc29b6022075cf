"""What a run returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from assistant_kit.entries import CallResolved, Compacted, FinishReason, Measured, ModelResponded, ToolFinished
from assistant_kit.messages import Item, Outcome, Part, ToolCall, text_of
from assistant_kit.run.call_digest import call_digest
from assistant_kit.usage import Usage

OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A tool call of a run and what became of it. `arguments` is JSON text; `outcome` is None while it waits.

    `key` is the call's place in its turn, `step.index`. `digest` binds tool and arguments, for approvals.
    `resolved_by` says who found out later what became of a call that had been reported as unknown. `recorded_digest`
    is the digest where other arguments are on record than these: with pseudonyms in the place of private values.
    """

    call_id: str
    tool: str
    arguments: str
    outcome: Outcome | None
    content: tuple[Part, ...] = ()
    key: str = ""
    resolved_by: str | None = None
    recorded_digest: str = ""

    @property
    def text(self) -> str:
        """The text of the call's result."""
        return text_of(self.content)

    @property
    def digest(self) -> str:
        """What an approval of this call is bound to."""
        return self.recorded_digest or call_digest(self.tool, self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[OutputT]):
    """What a run returns.

    `output` is the answer: text, or a value of `output_type`; None while `status` is `waiting`. `text` is the answer
    as the model wrote it and `refusal` what it said if it refused. `finish` is `length` when the answer was cut off
    at the token limit. `messages` are the items of this turn, `usage` its requests and tokens.
    """

    output: OutputT
    text: str
    refusal: str | None = None
    status: Literal["completed", "waiting"] = "completed"
    finish: FinishReason = "stop"
    messages: tuple[Item, ...]
    usage: Usage
    tool_calls: tuple[CallResult, ...]
    turn: str
    conversation: str | None = None

    @property
    def waiting_for(self) -> tuple[CallResult, ...]:
        """The calls that wait for approval."""
        return tuple(call for call in self.tool_calls if call.outcome is None)


def usage_of(entries: Sequence[Measured]) -> Usage:
    """Return what the model calls among these entries used together, those that made room included."""
    total = Usage()
    for measured in entries:
        if isinstance(measured.entry, ModelResponded | Compacted):
            total += measured.entry.usage
    return total


def calls_of(entries: Sequence[Measured]) -> tuple[CallResult, ...]:
    """Return the tool calls among these entries of a turn with what became of them, in the order they came."""
    finished: dict[str, ToolFinished] = {}
    resolved: dict[str, CallResolved] = {}
    for measured in entries:
        if isinstance(measured.entry, ToolFinished):
            finished[measured.entry.key] = measured.entry
        elif isinstance(measured.entry, CallResolved):
            resolved[measured.entry.key] = measured.entry
    calls: list[CallResult] = []
    for measured in entries:
        if isinstance(measured.entry, ModelResponded):
            asked = [item for item in measured.entry.items if isinstance(item, ToolCall)]
            keyed = ((f"{measured.entry.step}.{index}", call) for index, call in enumerate(asked))
            calls += (_call(key, call, finished.get(key), resolved.get(key)) for key, call in keyed)
    return tuple(calls)


def _call(key: str, call: ToolCall, end: ToolFinished | None, resolved: CallResolved | None) -> CallResult:
    told = resolved or end
    return CallResult(
        call_id=call.call_id,
        tool=call.name,
        arguments=call.arguments,
        outcome=None if told is None else told.outcome,
        content=() if told is None else told.content,
        key=key,
        resolved_by=None if resolved is None else resolved.by,
    )

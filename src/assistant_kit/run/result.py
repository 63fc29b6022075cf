"""What a run returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from assistant_kit.entries import FinishReason, Measured, ModelResponded, ToolFinished
from assistant_kit.messages import Item, Outcome, Part, ToolCall, text_of
from assistant_kit.usage import Usage

OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A tool call of a run and what became of it. `arguments` is JSON text; `outcome` is None while it waits."""

    call_id: str
    tool: str
    arguments: str
    outcome: Outcome | None
    content: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """The text of the call's result."""
        return text_of(self.content)


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
    """Return what the model calls among these entries used together."""
    total = Usage()
    for measured in entries:
        if isinstance(measured.entry, ModelResponded):
            total += measured.entry.usage
    return total


def calls_of(entries: Sequence[Measured]) -> tuple[CallResult, ...]:
    """Return the tool calls among these entries with what became of them, in the order in which they were asked for."""
    finished = {m.entry.call_id: m.entry for m in entries if isinstance(m.entry, ToolFinished)}
    calls: list[CallResult] = []
    for measured in entries:
        if not isinstance(measured.entry, ModelResponded):
            continue
        for item in measured.entry.items:
            if isinstance(item, ToolCall):
                end = finished.get(item.call_id)
                calls.append(
                    CallResult(
                        call_id=item.call_id,
                        tool=item.name,
                        arguments=item.arguments,
                        outcome=None if end is None else end.outcome,
                        content=() if end is None else end.content,
                    )
                )
    return tuple(calls)

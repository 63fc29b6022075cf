"""What people read of a conversation: what the user said, and what the assistant answered in the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from assistant_kit.entries import Measured, ModelResponded, TurnFinished, TurnStarted, TurnSuspended
from assistant_kit.messages import AssistantMessage, ToolCall, text_of

Role: TypeAlias = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message. `seq` is the number of its record, which no other message of the conversation has."""

    role: Role
    text: str
    turn: str
    seq: int


def said(entries: Iterable[Measured]) -> Sequence[Said]:
    """Return the messages among entries that are written together, in their order.

    A turn has the user's message and, once it is completed, one answer: a refusal counts as one. What a model says
    beside its tool calls, and answers that did not fit an `output_type`, are none. Images and files have no text here.
    """
    messages: dict[tuple[str, Role], Said] = {}
    for measured in entries:
        match measured.entry:
            case TurnStarted() as entry:
                text = text_of(entry.input.content)
                messages[entry.turn, "user"] = Said(role="user", text=text, turn=entry.turn, seq=measured.seq)
            case ModelResponded() as entry:
                # An answer behind which the model was asked again was not accepted.
                messages.pop((entry.turn, "assistant"), None)
                if (answer := _answer(entry)) is not None:
                    message = Said(role="assistant", text=answer, turn=entry.turn, seq=measured.seq)
                    messages[entry.turn, "assistant"] = message
            case TurnFinished(outcome=outcome, turn=turn) if outcome != "completed":
                messages.pop((turn, "assistant"), None)
            case TurnSuspended(turn=turn):
                messages.pop((turn, "assistant"), None)
            case _:
                pass
    return tuple(messages.values())


def _answer(response: ModelResponded) -> str | None:
    """Return what the model said; None when it asks for tool calls, and so goes on."""
    if any(isinstance(item, ToolCall) for item in response.items):
        return None
    return "".join(item.refusal or item.text for item in response.items if isinstance(item, AssistantMessage))

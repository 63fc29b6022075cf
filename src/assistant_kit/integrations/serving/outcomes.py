"""What becomes of a call that somebody else makes of a served tool, apart from the wire it came by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from assistant_kit.events import Event
from assistant_kit.messages import JsonObject, Part, Text
from assistant_kit.protocols.caller import Caller, Kind

Problem: TypeAlias = Literal[
    "unknown_tool",
    "invalid_arguments",
    "tool_error",
    "timeout",
    "outcome_unknown",
    "key_reused",
    "unavailable",
    "internal_error",
    "input_required",
    "cannot_ask",
]
"""Why there is no result. `tool_error`: the tool says so itself. `timeout`: it has given no answer in its time, and may
be called again. `outcome_unknown`: nobody can tell whether it took effect. `key_reused`: the idempotency key belongs to
another call. `unavailable`: nothing was run, and later it may go better. `input_required`: the caller has to answer
questions first, and makes the same call again. `cannot_ask`: the tool has a question that the caller does not take.
The last two come only of a call in rounds."""


def tell_nobody(event: Event) -> None:
    """Tell nobody how far a call has come."""
    del event


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call as it came in. `key` is its idempotency key; `timeout` is in seconds, as far as the caller waits.

    `emit` is told how far the call has come, by ToolProgress. `caller` can be asked back: a Round when in rounds.
    """

    tool: str
    arguments: JsonObject
    call_id: str
    user: str | None = None
    key: str | None = None
    timeout: float | None = None
    emit: Callable[[Event], None] = tell_nobody
    caller: Caller | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the caller gets: content, and why it is no result if it is none.

    `retry_after` is the number of seconds after which it may go better. `lacks` is the kind of question that the
    caller does not take.
    """

    content: tuple[Part, ...]
    problem: Problem | None = None
    retry_after: float | None = None
    lacks: Kind | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same call may be made again and may then succeed."""
        return self.problem in ("timeout", "unavailable")

    @property
    def lasting(self) -> bool:
        """Whether a repeated call gets this outcome again, and nothing is run."""
        return self.problem in (None, "tool_error", "outcome_unknown", "internal_error")


def problem(kind: Problem, words: str, *, retry_after: float | None = None) -> Outcome:
    """Return the outcome of a call without a result, in words for its caller."""
    return Outcome(content=(Text(text=words),), problem=kind, retry_after=retry_after)


UNKNOWN = "The call was started, and nobody can tell whether it took effect. Do not simply repeat it."
FAILED = "The tool failed with an internal error."

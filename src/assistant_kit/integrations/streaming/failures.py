"""What readers are told of errors: a code for programs and words for people, and nothing of what went on inside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    BudgetExceeded,
    CallRefused,
    CannotFit,
    ConversationBusy,
    ConversationNotFound,
    DeadlineExceeded,
    InputError,
    Interrupted,
    OutputInvalid,
    QuotaExceeded,
    RateLimitReached,
    StepLimitExceeded,
    StoreError,
    TurnParked,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is told of an error: `code` stays the same from version to version, `message` is for people."""

    code: str
    message: str


Tell: TypeAlias = Callable[[BaseException], Failure]
"""Says what readers are told of an error. It is an application's own words, or `failure_of`."""

UNKNOWN: Final = Failure(code="failed", message="something went wrong here")

_TOLD: Final[Sequence[tuple[type[AssistantKitError] | tuple[type[AssistantKitError], ...], str, str]]] = (
    (QuotaExceeded, "quota", "the quota is used up: try again later"),
    (RateLimitReached, "limited", "too many requests: wait a little"),
    (BudgetExceeded, "too_long", "the answer would have cost more than is allowed: ask for less"),
    (CallRefused, "overloaded", "too much is going on: try again later"),
    (ConversationBusy, "busy", "another message in this conversation is being answered: wait for it"),
    (ConversationNotFound, "not_found", "there is no such conversation"),
    (StoreError, "unavailable", "conversations cannot be read or written now: try again later"),
    (ApprovalPending, "waiting", "a tool call waits for a decision: allow or deny it first"),
    (TurnParked, "parked", "the last message here could not be answered: somebody has to look at it"),
    (Interrupted, "interrupted", "this message was given up on: send it again as a new one"),
    (DeadlineExceeded, "timeout", "there was no answer in time: say it again"),
    (StepLimitExceeded, "too_long", "the answer took too many steps: ask for less"),
    (CannotFit, "too_long", "this is longer than can be answered: shorten it"),
    (OutputInvalid, "no_answer", "the answer could not be used: say it again"),
    (InputError, "invalid", "the message cannot be answered like that"),
    (AssistantKitError, "no_answer", "the assistant cannot answer now: try again later"),
)
"""The first that fits counts. No text of an error is shown: it may name servers, files or what others have written."""


def failure_of(error: BaseException) -> Failure:
    """Return the library's own words for an error."""
    for kinds, code, message in _TOLD:
        if isinstance(error, kinds):
            return Failure(code=code, message=message)
    return UNKNOWN

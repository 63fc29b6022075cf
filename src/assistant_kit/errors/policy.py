"""What a policy says when it does not let a call through."""

from assistant_kit.errors.root import AssistantKitError


class CallRefused(AssistantKitError):
    """A policy did not let a call through; nothing was sent.

    `retry_after` is the number of seconds after which it may go better; None when nobody can tell.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CircuitOpen(CallRefused):
    """What is called (`upstream`) has failed too often lately, and is left alone for a while."""

    def __init__(self, upstream: str, *, retry_after: float) -> None:
        message = f"{upstream} has failed too often lately and is left alone for {retry_after:.1f} s: try again later"
        super().__init__(message, retry_after=retry_after)
        self.upstream = upstream


class Overloaded(CallRefused):
    """There are too many calls at once; `limit` may run, and `waiting` wait already."""

    def __init__(self, upstream: str, *, limit: int, waiting: int, retry_after: float | None = None) -> None:
        message = f"{upstream}: {limit} calls run and {waiting} wait already: try again later, or raise the limit"
        super().__init__(message, retry_after=retry_after)
        self.upstream = upstream
        self.limit = limit
        self.waiting = waiting


class RateLimitReached(CallRefused):
    """The rate that is allowed would be passed, and there is no time to wait for `retry_after` seconds."""

    def __init__(self, upstream: str, *, retry_after: float) -> None:
        message = f"{upstream}: the rate limit lets this call through in {retry_after:.1f} s, after its deadline"
        super().__init__(message, retry_after=retry_after)
        self.upstream = upstream


class QuotaExceeded(CallRefused):
    """A quota would be passed. `needed` and `left` are in `unit`, `retry_after` the seconds until it resets."""

    def __init__(self, quota: str, *, unit: str, needed: int, left: int, retry_after: float) -> None:
        message = f"quota {quota!r}: up to {needed} {unit} needed, {left} left; it resets in {retry_after:.0f} s"
        super().__init__(message, retry_after=retry_after)
        self.quota = quota
        self.unit = unit
        self.needed = needed
        self.left = left


class BudgetExceeded(CallRefused):
    """The budget of the run would be passed. `needed`, `used` and `limit` are in `unit`."""

    def __init__(self, *, unit: str, needed: int, used: int, limit: int) -> None:
        super().__init__(f"this run may use {limit} {unit}: {used} are used and up to {needed} more needed")
        self.unit = unit
        self.needed = needed
        self.used = used
        self.limit = limit

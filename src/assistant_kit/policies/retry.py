"""Make a failed call again: after a pause, in time, within a budget, and only when that can do no harm."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from assistant_kit.errors import (
    AssistantKitError,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    ToolError,
)
from assistant_kit.events import Retrying
from assistant_kit.policies._budget import BudgetReport, condition_of
from assistant_kit.policies._reports import Reports
from assistant_kit.policies._retraction import retract
from assistant_kit.protocols.policy import Call, Condition, Hear, Proceed, T
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.tool_spec import may_repeat

_PASSING = (ModelUnreachable, ModelTimeout, ModelRateLimited, ModelUnavailable, ModelBroke)


def _broken_off(error: Exception) -> bool:
    """Tell whether a connection could not be made, or broke, or there was no answer in time."""
    return isinstance(error, ConnectionError | TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries what is likely to pass, with decorrelated jitter.

    `attempts` in all; the pause before the first retry is up to `base` seconds and then a random time between `base`
    and three times the pause before, at most `cap`; or what the provider asks for (`Retry-After`, or the reset of its
    rate limit), if that is longer. A pause that does not fit into the deadline is not begun, and neither is one for
    which the `budget` has nothing left: the error is raised at once. `passes` tells which exceptions of tools and other
    functions are likely to pass; of this library's own errors that is known.

    An answer of which the reader has seen a part is not made anew, unless with `retract`: then that part is taken back
    by a TextRetracted, and the model asked again.
    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 8.0
    budget: RetryBudget = field(default_factory=RetryBudget)
    passes: Callable[[Exception], bool] = _broken_off
    retract: bool = False
    uniform: Callable[[], float] = random.random
    _reports: Reports = field(init=False, repr=False, compare=False, default_factory=Reports)

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call, up to `attempts` times."""
        attempt, pause = 1, 0.0
        while True:
            try:
                result = await proceed(call)
            except Exception as error:
                delay = self.next_delay(call, error, attempt=attempt, pause=pause, now=anyio.current_time())
                if delay is None or not self.budget.spend(call.key):
                    raise
                attempt += 1
                pause = delay
                retract(call)
                call.notify(Retrying(attempt=attempt, delay=delay, error=_told(call, error)))
            else:
                if attempt == 1:
                    self.budget.earn(call.key)
                return result
            await anyio.sleep(delay)

    def next_delay(self, call: Call, error: Exception, *, attempt: int, now: float, pause: float = 0.0) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt`, or None to give up.

        `pause` is how long was waited before that attempt.
        """
        if not may_repeat(call.effect) or attempt >= self.attempts:
            return None
        if call.progress.started and not self.retract:
            return None
        if not (passing(error) if isinstance(error, AssistantKitError) else self.passes(error)):
            return None
        delay = backoff(pause, base=self.base, cap=self.cap, chance=self.uniform())
        delay = max(delay, asked_to_wait(error))
        return delay if call.deadline.allows(delay, now=now) else None

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if not may_repeat(call.effect):
            return "retry: never, as a second call might do harm"
        shown = ", also when a part was shown" if self.retract and call.kind == "model" else ""
        return f"retry: up to {self.attempts} attempts, pauses up to {self.cap:g} s{shown}"

    def health(self) -> Mapping[str, Condition]:
        """Return what is left of the budget, of the upstream for which least is left."""
        return {"retry budget": condition_of(self.budget)}

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when the budget of the first upstream is used up, and when retries of all are possible again."""
        self._reports.add(hear)
        self.budget.watch(BudgetReport("retry budget", self.budget, self._reports))


def passing(error: AssistantKitError) -> bool:
    """Tell whether the same call may succeed later. What the provider says of itself counts first."""
    if isinstance(error, ModelError) and error.should_retry is not None:
        return error.should_retry
    return isinstance(error, _PASSING)


def _told(call: Call, error: Exception) -> AssistantKitError:
    """Return what the reader is told of an error; what a foreign one says may not be for them."""
    if isinstance(error, AssistantKitError):
        return error
    told = ToolError(f"{call.name} failed ({type(error).__name__})")
    told.__cause__ = error
    return told


def asked_to_wait(error: Exception) -> float:
    """Return the seconds that a provider asks to wait: in so many words, or by when its limit resets."""
    if isinstance(error, ModelError) and error.retry_after is not None:
        return error.retry_after
    if isinstance(error, ModelRateLimited) and error.limits is not None and error.limits.wait is not None:
        return error.limits.wait
    return 0.0


def backoff(pause: float, *, base: float, cap: float, chance: float) -> float:
    """Return the next pause in seconds after one of `pause`; `chance` is between 0 and 1. A base of 0 is no pause."""
    if not pause or not base:
        return min(cap, base * chance)
    low = min(base, cap)
    high = min(cap, max(low, 3 * pause))
    return low + chance * (high - low)

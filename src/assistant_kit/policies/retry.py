"""Make a failed call again: after a pause, in time, and only when that can do no harm."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from assistant_kit.errors import (
    AssistantKitError,
    ModelError,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from assistant_kit.events import Retrying
from assistant_kit.protocols.policy import Call
from assistant_kit.tool_spec import may_repeat

T = TypeVar("T")
_PASSING = (ModelUnreachable, ModelTimeout, ModelRateLimited, ModelUnavailable)
_MOST_DOUBLINGS = 64  # beyond it a float overflows sooner or later, and every pause is the cap anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries what is likely to pass, with full jitter.

    `attempts` in all; the pause before attempt n+1 is a random part of `min(cap, base * 2**(n-1))` seconds, or what
    the provider asks for (`Retry-After`), if that is longer. A pause that does not fit into the deadline is not
    begun: the error is raised at once.
    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 8.0
    uniform: Callable[[], float] = random.random

    async def around(self, call: Call[T]) -> T:
        """Make the call, up to `attempts` times."""
        attempt = 1
        while True:
            try:
                return await call.attempt()
            except AssistantKitError as error:
                delay = self.next_delay(call, error, attempt=attempt, now=anyio.current_time())
                if delay is None:
                    raise
                attempt += 1
                call.notify(Retrying(attempt=attempt, delay=delay, error=error))
            await anyio.sleep(delay)

    def next_delay(self, call: Call[T], error: AssistantKitError, *, attempt: int, now: float) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt`, or None to give up."""
        if call.started or not may_repeat(call.effect) or attempt >= self.attempts or not passing(error):
            return None
        delay = backoff(attempt, base=self.base, cap=self.cap, chance=self.uniform())
        if isinstance(error, ModelError) and error.retry_after is not None:
            delay = max(delay, error.retry_after)
        return delay if call.deadline.allows(delay, now=now) else None


def passing(error: AssistantKitError) -> bool:
    """Tell whether the same call may succeed later. What the provider says of itself counts first."""
    if isinstance(error, ModelError) and error.should_retry is not None:
        return error.should_retry
    return isinstance(error, _PASSING)


def backoff(attempt: int, *, base: float, cap: float, chance: float) -> float:
    """Return the pause in seconds after failed attempt number `attempt`; `chance` is between 0 and 1."""
    return chance * min(cap, base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))

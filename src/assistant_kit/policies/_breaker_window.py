"""What a circuit breaker remembers of the latest calls: so many of them, or those of so many seconds."""

from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from assistant_kit.errors import ConfigurationError

Outcome: TypeAlias = Literal["success", "failure", "slow", "ignored"]
"""What a call tells of what was called; nothing, when it is ignored."""

_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class CountWindow:
    """The latest `calls` calls, however long ago they were."""

    calls: int = 100

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing would be remembered."""
        if self.calls < 1:
            raise ConfigurationError("CountWindow: a window holds at least 1 call")


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The calls that ended in the latest `seconds`, to a tenth of it."""

    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing would be remembered."""
        if not self.seconds > 0:
            raise ConfigurationError("TimeWindow: seconds is a positive number")


@dataclass(slots=True)
class Figures:
    """How many calls there were, how many of them failed, and how many of the others were slow."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def add(self, outcome: Outcome, by: int = 1) -> None:
        """Count a call, or take it out again with -1."""
        self.calls += by
        if outcome == "failure":
            self.failures += by
        elif outcome == "slow":
            self.slow += by

    def clear(self) -> None:
        """Forget everything."""
        self.calls = self.failures = self.slow = 0


class LatestCalls:
    """The figures of a `CountWindow`."""

    __slots__ = ("_outcomes", "_size", "figures")

    def __init__(self, window: CountWindow) -> None:
        """Begin with no calls."""
        self.figures: Figures = Figures()
        self._size = window.calls
        self._outcomes: deque[Outcome] = deque()

    def add(self, outcome: Outcome, now: float) -> None:
        """Count a call, and forget the oldest one when there are too many."""
        del now
        outcomes = self._outcomes
        if len(outcomes) == self._size:
            oldest = outcomes.popleft()
            if oldest == outcome:  # as nearly always
                outcomes.append(outcome)
                return
            self.figures.add(oldest, -1)
        outcomes.append(outcome)
        self.figures.add(outcome)

    def clear(self) -> None:
        """Forget all calls."""
        self._outcomes.clear()
        self.figures.clear()


class LatestSeconds:
    """The figures of a `TimeWindow`, kept in buckets: a busy window costs no more than a quiet one."""

    __slots__ = ("_buckets", "_width", "figures")

    def __init__(self, window: TimeWindow) -> None:
        """Begin with no calls."""
        self.figures: Figures = Figures()
        self._width = window.seconds / _BUCKETS
        self._buckets: deque[tuple[int, Figures]] = deque()

    def add(self, outcome: Outcome, now: float) -> None:
        """Count a call, and forget those that are too old."""
        number = int(now // self._width)
        buckets = self._buckets
        while buckets and buckets[0][0] <= number - _BUCKETS:
            _, old = buckets.popleft()
            self.figures.calls -= old.calls
            self.figures.failures -= old.failures
            self.figures.slow -= old.slow
        if not buckets or buckets[-1][0] != number:
            buckets.append((number, Figures()))
        buckets[-1][1].add(outcome)
        self.figures.add(outcome)

    def clear(self) -> None:
        """Forget all calls."""
        self._buckets.clear()
        self.figures.clear()


Tally: TypeAlias = LatestCalls | LatestSeconds


def tally_of(window: CountWindow | TimeWindow) -> Tally:
    """Return an empty tally for a window."""
    return LatestCalls(window) if isinstance(window, CountWindow) else LatestSeconds(window)

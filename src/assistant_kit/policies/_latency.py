"""How long calls took lately, and the time that a share of them stays under."""

from bisect import bisect_left, insort
from collections import deque
from math import ceil


def rank(percentile: float, calls: int) -> int:
    """Return which of so many sorted values is the percentile, from 1 on; one beyond them is not known.

    The next value of the same kind lies above the k-th of n with a chance of 1 - k / (n + 1), however the values are
    distributed: so 19 values are the fewest that have a 95th percentile. Source: David and Nagaraja, "Order
    Statistics", 2003, section 2.2.
    """
    # Without the margin, 0.95 of 20 would be a little more than 19.
    return max(1, ceil(percentile * (calls + 1) - 1e-9))


class Latencies:
    """The seconds that the latest `window` calls took."""

    def __init__(self, window: int) -> None:
        """Take how many calls are remembered."""
        self._window = window
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        """Return how many calls are remembered."""
        return len(self._latest)

    def add(self, seconds: float) -> None:
        """Remember one more call, and forget the oldest when there are too many."""
        if len(self._latest) == self._window:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    def percentile(self, percentile: float) -> float | None:
        """Return the seconds that such a share of calls stays under; None when too few are known to tell."""
        place = rank(percentile, len(self._sorted))
        return self._sorted[place - 1] if place <= len(self._sorted) else None

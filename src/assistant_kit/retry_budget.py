"""How much may be tried again: a bucket that successes fill and retries empty."""

from collections.abc import Callable
from dataclasses import dataclass, field

from assistant_kit.errors import ConfigurationError

_MOST_KEYS = 1_000
"""How many upstreams have a bucket of their own; of more, those begin anew that were used first."""


@dataclass(slots=True, kw_only=True)
class RetryBudget:
    """Shared by all runs of an assistant, so that an outage is not multiplied by everybody's retries.

    Each upstream (`Call.key`) has a bucket of its own. A retry or a hedge takes `cost` tokens and is not made without
    them; each call that succeeds at once puts one back, up to `capacity`. In an outage that leaves `capacity / cost`
    retries in all; otherwise at most one retry for every `cost` successes. Source: the retry quota of the AWS SDKs;
    Google, "Site Reliability Engineering", 2016, chapter 21.
    """

    capacity: int = 100
    cost: int = 10
    _left: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict[str, int])
    _empty: set[str] = field(init=False, repr=False, compare=False, default_factory=set[str])
    _watchers: list[Callable[[], None]] = field(
        init=False, repr=False, compare=False, default_factory=list[Callable[[], None]]
    )

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing could ever be retried."""
        if not 1 <= self.cost <= self.capacity:
            raise ConfigurationError("RetryBudget: cost is at least 1, and capacity at least cost")

    def left(self, key: str) -> int:
        """Return the tokens that are left for calls of `key`."""
        return self._left.get(key, self.capacity)

    def spend(self, key: str) -> bool:
        """Take what one retry of a call of `key` costs, and tell whether it may be made."""
        left = self.left(key)
        if left < self.cost:
            return False
        self._left[key] = left = left - self.cost
        if len(self._left) > _MOST_KEYS:
            first = next(iter(self._left))
            del self._left[first]
            self._see(first, self.capacity)
        self._see(key, left)
        return True

    def earn(self, key: str) -> None:
        """Put back what one success of a call of `key` is worth. A bucket that is full is not kept."""
        left = self._left.get(key)
        if left is not None:
            if left + 1 >= self.capacity:
                del self._left[key]
            else:
                self._left[key] = left + 1
            self._see(key, left + 1)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever the first bucket is used up, and when none is any more; asked twice, once."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)

    @property
    def used_up(self) -> bool:
        """Whether a bucket has not enough left for a retry."""
        return bool(self._empty)

    def _see(self, key: str, left: int) -> None:
        before = self.used_up
        if left < self.cost:
            self._empty.add(key)
        else:
            self._empty.discard(key)
        if self.used_up != before:
            for watcher in tuple(self._watchers):
                watcher()

    @property
    def lowest(self) -> int:
        """The tokens in the emptiest bucket."""
        return min(self._left.values(), default=self.capacity)

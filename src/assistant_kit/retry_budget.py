"""How much may be tried again: a bucket that successes fill and retries empty."""

from dataclasses import dataclass

from assistant_kit.errors import ConfigurationError


@dataclass(slots=True, kw_only=True)
class RetryBudget:
    """Shared by all runs of an assistant, so that an outage is not multiplied by everybody's retries.

    A retry or a hedge takes `cost` tokens and is not made without them; each call that succeeds at once puts one back,
    up to `capacity`. In an outage that leaves `capacity / cost` retries in all; otherwise at most one retry for every
    `cost` successes. Source: the retry quota of the AWS SDKs; Google, "Site Reliability Engineering", 2016, chapter 21.
    """

    capacity: int = 500
    cost: int = 10
    left: int = -1

    def __post_init__(self) -> None:
        """Fill the bucket. Raises ConfigurationError when nothing could ever be retried."""
        if not 1 <= self.cost <= self.capacity:
            raise ConfigurationError("RetryBudget: cost is at least 1, and capacity at least cost")
        self.left = self.capacity if self.left < 0 else min(self.left, self.capacity)

    def spend(self) -> bool:
        """Take what one retry costs, and tell whether it may be made."""
        if self.left < self.cost:
            return False
        self.left -= self.cost
        return True

    def earn(self) -> None:
        """Put back what one success is worth."""
        self.left = min(self.left + 1, self.capacity)

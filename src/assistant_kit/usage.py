"""What a run used, and what is left, as the providers reported it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Requests and tokens. `cached_tokens` are part of `input_tokens`, `reasoning_tokens` of `output_tokens`.

    `reported` is false when a server gave no usage, so that a zero is not mistaken for a free answer.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    reported: bool = True

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """Add what another request used."""
        return Usage(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            reported=self.reported and other.reported,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What a server says of its own rate limits; None where it says nothing.

    What is left of requests and tokens in its window, and the seconds after which each is whole again.
    """

    requests_limit: int | None = None
    requests_left: int | None = None
    requests_reset: float | None = None
    tokens_limit: int | None = None
    tokens_left: int | None = None
    tokens_reset: float | None = None

    @property
    def wait(self) -> float | None:
        """Seconds until what is used up comes back; None when nothing is, or nobody knows when."""
        resets = [
            reset
            for left, reset in ((self.requests_left, self.requests_reset), (self.tokens_left, self.tokens_reset))
            if left == 0 and reset is not None
        ]
        return max(resets, default=None)

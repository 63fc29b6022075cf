"""One point in time that everything a run does has to respect."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute time in seconds on the event loop's clock (`anyio.current_time()`); `inf` means none."""

    at: float = inf

    @classmethod
    def after(cls, seconds: float | None, *, now: float) -> "Deadline":
        """Return the deadline that lies `seconds` after `now`; None means never."""
        return cls(inf if seconds is None else now + seconds)

    def remaining(self, now: float) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self.at - now)

    def allows(self, seconds: float, *, now: float) -> bool:
        """Tell whether something that takes `seconds` can still finish in time."""
        return now + seconds < self.at

    def earlier(self, seconds: float | None, *, now: float) -> "Deadline":
        """Return this deadline, or the one `seconds` from now when that comes first."""
        return self if seconds is None else Deadline(min(self.at, now + seconds))

"""The contract of small values that workers change together: counters of limits, reservations, states of breakers.

What is decided is decided by a pure function of the value and the time, so that every backend has one semantics.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Generic[T]):
    """What a change leaves behind, and what it tells who asked for it.

    `value` is the new value; None deletes it. It may be forgotten `keep` seconds after the last change.
    """

    value: bytes | None
    result: T
    keep: float = 86_400.0


Change: TypeAlias = Callable[[bytes | None, float], Changed[T]]
"""A pure function that decides what becomes of a value; it is None where there is none."""


class SharedState(Protocol):
    """A place for small values, each under an owner and a key. It connects when it is first used."""

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        """Replace a value by what `change(value, now)` returns, in one atomic step, and return its result.

        `now` is the place's own clock, in seconds since 1970, and never runs backwards for one value. `change` is pure
        and may be called several times; a value that stays equal is not written. `owner` is a user, or "" for what
        belongs to nobody. An error that `change` raises changes nothing and is raised to its caller alone. A change is
        durable on return only as far as the place is. Cancellation leaves the value as it was, or changed: then nobody
        was told, and who reserves something lets it expire. Raises StoreError.
        """
        ...

    async def values(self, owner: str) -> Mapping[str, bytes]:
        """Return all values of an owner by their keys. Raises StoreError."""
        ...

    async def erase(self, owner: str) -> None:
        """Delete all values of an owner. Raises StoreError."""
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...

"""What every place decides in the same way, as functions of values: names, what lives, what changes come to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from assistant_kit.errors import InputError
from assistant_kit.protocols.shared_state import Changed

T_co = TypeVar("T_co", covariant=True)

MAX_NAME: Final = 1000
"""Characters of an owner or a key."""

Spot: TypeAlias = tuple[str, str]
"""An owner and a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Generic[T_co]):
    """What stands at a spot: the value, when it was written, and until when it counts.

    Times are in seconds since 1970. `mark` is another one after each write.
    """

    value: bytes
    at: float
    until: float
    mark: T_co


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Generic[T_co]):
    """What is to stand at a spot, if the mark there is still `seen`; None for no value, before and after."""

    spot: Spot
    seen: T_co | None
    value: bytes | None
    at: float
    until: float


class Asked(Protocol):
    """A change that somebody asked for, and that remembers what came of it."""

    def decide(self, value: bytes | None, now: float) -> Changed[Any] | None:
        """Return what the change makes of the value; None if it refuses, or fails, and changes nothing."""
        ...


def combined(spot: Spot, held: Held[T_co] | None, asked: Iterable[Asked], *, clock: float) -> Write[T_co] | None:
    """Apply changes to one value, one after another, and return the one write they come to; None when there is none.

    `clock` is what the place's clock says. It may have been set back: then the time of the last write counts on.
    """
    now = clock if held is None else max(clock, held.at)
    before = value = None if held is None or held.until <= now else held.value
    until = now
    for each in asked:
        changed = each.decide(value, now)
        if changed is not None and changed.value != value:
            value, until = changed.value, now + changed.keep
    if value == before:
        return None
    return Write(spot=spot, seen=None if held is None else held.mark, value=value, at=now, until=until)


def check_spot(owner: str, key: str) -> None:
    """Refuse names that some place cannot hold. Raises InputError."""
    check_owner(owner)
    if not key:
        raise InputError("a key of shared state is a text of at least one character")
    _check_name("key", key)


def check_owner(owner: str) -> None:
    """Refuse an owner that some place cannot hold; "" is nobody. Raises InputError."""
    _check_name("owner", owner)


def check_keep(keep: float) -> None:
    """Refuse a time for which nothing can be kept. Raises InputError."""
    if not keep >= 0:
        raise InputError(f"a value is kept for a number of seconds, 0 or more, not {keep!r}")


def _check_name(what: str, name: str) -> None:
    if len(name) > MAX_NAME:
        raise InputError(f"this {what} of shared state has {len(name)} characters: {MAX_NAME} are allowed")
    # isascii is the fast way out: surrogates have no UTF-8, and Postgres has no NUL in text.
    if "\0" in name or (not name.isascii() and not _has_utf8(name)):
        raise InputError(f"{what} {name!r} of shared state has characters that cannot be stored: NUL, lone surrogates")


def _has_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

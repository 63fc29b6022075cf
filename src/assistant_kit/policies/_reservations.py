"""What is used and what is reserved of a quota in one window: pure functions of a value and the time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import index
from typing import Literal, TypeAlias

from assistant_kit.errors import StoreCorrupt, StoreTooNew

Window: TypeAlias = Literal["minute", "hour", "day", "month"] | int
"""A window of the calendar in UTC, or one of so many seconds, counted from 1970."""

LENGTHS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400}
_FORMAT = 1
_LOW = (4, 5)
"""The share of a limit from which on a quota is low."""
_KEPT = 1000
"""Expired reservations that are remembered, so that a call which ends late is still booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One window of a quota: when it began, what is used, and reservations as id: (amount, until).

    Times are in seconds since 1970, `until` in milliseconds. A reservation that has expired does not count, and stays
    until it is settled or the window is over: what is not in the book has been settled already.
    """

    start: int
    used: int = 0
    held: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def reserved(self, now: float) -> int:
        """Return what is reserved by calls that live."""
        return sum(amount for amount, until in self.held.values() if until > now * 1000)

    def left(self, limit: int, now: float) -> int:
        """Return what may still be reserved; at least 0, as more may have been used than was reserved."""
        return max(0, limit - self.used - self.reserved(now))


def window(length: Window, now: float) -> tuple[int, int]:
    """Return when the window that `now` lies in begins and ends."""
    if length == "month":
        first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return int(first.timestamp()), int(following.timestamp())
    seconds = length if isinstance(length, int) else LENGTHS[length]
    start = int(now // seconds) * seconds
    return start, start + seconds


def opened(value: bytes | None, length: Window, now: float) -> Book:
    """Return the book of the window that `now` lies in: a new one, when the value is of an earlier window."""
    start, _ = window(length, now)
    book = None if value is None else _read(value)
    return book if book is not None and book.start >= start else Book(start=start)


def state_of(used: int, limit: int) -> str:
    """Return how a quota stands when so much of its limit is used."""
    share, whole = _LOW
    return "used up" if used >= limit else "low" if used * whole >= limit * share else "ok"


def closed(book: Book) -> bytes:
    """Return a book as it is kept: names, amounts and ends in a column each, which JSON reads fastest."""
    amounts, untils = zip(*book.held.values(), strict=True) if book.held else ((), ())
    columns = [_FORMAT, book.start, book.used, [*book.held], amounts, untils]
    return json.dumps(columns, separators=(",", ":")).encode()


def reserve(book: Book, name: str, amount: int, *, limit: int, now: float, lease: float) -> Book | None:
    """Return the book with a reservation; None when it would pass the limit.

    A reservation that is there already, as its acknowledgement was lost, is not made twice.
    """
    if name in book.held and book.held[name][1] > now * 1000:
        return book
    others = _without(book, name)
    if amount > others.left(limit, now):
        return None
    return replace(others, held={**_remembered(others.held, now), name: (amount, _until(now, lease))})


def renew(book: Book, name: str, *, now: float, lease: float) -> Book:
    """Return the book with a reservation that lives on. One that had expired counts again: its call is still there."""
    if name not in book.held:
        return book
    return replace(book, held={**book.held, name: (book.held[name][0], _until(now, lease))})


def settle(book: Book, name: str, used: int) -> Book:
    """Return the book with what was used in place of what was reserved; once, however often it is asked."""
    if name not in book.held:
        return book
    others = _without(book, name)
    return replace(others, used=others.used + used)


def _until(now: float, lease: float) -> int:
    return round((now + lease) * 1000)


def _without(book: Book, name: str) -> Book:
    if name not in book.held:
        return book
    held = dict(book.held)
    del held[name]
    return replace(book, held=held)


def _remembered(held: Mapping[str, tuple[int, int]], now: float) -> Mapping[str, tuple[int, int]]:
    """Forget the oldest expired reservations when there are too many: crashed calls must not fill the book."""
    if len(held) <= _KEPT:
        return held
    expired = sorted((until, name) for name, (_, until) in held.items() if until <= now * 1000)
    forgotten = {name for _, name in expired[: max(0, len(expired) - _KEPT)]}
    return {name: kept for name, kept in held.items() if name not in forgotten}


def _read(value: bytes) -> Book:
    try:
        version, *rest = json.loads(value)
        if version > _FORMAT:
            raise StoreTooNew("a quota's value", found=version, supported=_FORMAT)
        start, used, names, amounts, untils = rest
        index(start + used + sum(amounts) + sum(untils))  # whole numbers, and nothing else
        return Book(start=start, used=used, held=dict(zip(names, zip(amounts, untils, strict=True), strict=True)))
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"a quota's value cannot be read: {value[:80]!r}") from error

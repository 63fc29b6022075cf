"""What every store decides in the same way, as functions of values: names, limits, the tail of a journal, its clock."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from assistant_kit.errors import InputError
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record

MAX_NAME = 255
"""Characters of a user, a conversation, an owner or a record id: short enough for an index of any database."""

MAX_TOKENS = 2**31 - 1
"""Tokens of one record: their sum fits any database's integers."""


def check_name(what: str, name: str) -> None:
    """Refuse a name that some database cannot hold. Raises InputError."""
    if not 0 < len(name) <= MAX_NAME:
        raise InputError(f"a {what} is a text of 1 to {MAX_NAME} characters, this one has {len(name)}")
    # isascii is the fast way out: surrogates have no UTF-8, and Postgres has no NUL in text.
    if "\0" in name or (not name.isascii() and not _has_utf8(name)):
        raise InputError(f"{what} {name!r} has characters that cannot be stored: NUL or lone surrogates")


def _has_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_claim(conversation: str, owner: str, ttl: float, begin: NewRecord | None) -> None:
    """Refuse a claim that makes no sense. Raises InputError."""
    check_name("conversation", conversation)
    check_name("owner", owner)
    check_ttl(ttl)
    if begin is not None:
        _check_record(begin)


def beginning(lease: Lease, begin: NewRecord) -> Append:
    """Return the write that begins a turn under a lease that has just been taken."""
    return Append(
        lease=lease, expected_seq=lease.seq, records=(begin,), state="open", open_turn=lease.seq + 1, release=False
    )


def begun(lease: Lease) -> Lease:
    """Return the lease after the write that begins a turn."""
    return replace(lease, seq=lease.seq + 1, state="open", open_turn=lease.seq + 1, begun=True)


def check_ttl(ttl: float) -> None:
    """Refuse a lease of no time, or without an end. Raises InputError."""
    if not 0 < ttl < math.inf:
        raise InputError(f"a lease lasts a positive number of seconds, not {ttl!r}")


def check_append(write: Append) -> None:
    """Refuse a write that no conversation can take. Raises InputError."""
    seen: set[str] = set()
    for record in write.records:
        _check_record(record)
        if record.record_id in seen:
            raise InputError(f"record id {record.record_id!r} stands twice in one append")
        seen.add(record.record_id)


def _check_record(record: NewRecord) -> None:
    check_name("record id", record.record_id)
    if not 0 <= record.tokens <= MAX_TOKENS:
        raise InputError(f"record {record.record_id!r} has {record.tokens} tokens: it may have 0 to {MAX_TOKENS}")


def tail(newest_first: Iterable[Record], max_tokens: int | None) -> tuple[Record, ...]:
    """Return, in order, the newest records that are together at most `max_tokens`. Takes one record more than that."""
    room = math.inf if max_tokens is None else max_tokens
    chosen: list[Record] = []
    for record in newest_first:
        room -= record.tokens
        if room < 0:
            break
        chosen.append(record)
    chosen.reverse()
    return tuple(chosen)


class Clock:
    """The time of a store in seconds since 1970, and times of writes of which no two are equal.

    A list of conversations is paged by the time of their last write: with equal times a page could lose some.
    """

    __slots__ = ("_last", "now")

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._last = -math.inf

    def tick(self) -> float:
        """Return the time, or the next representable one after the last tick when the clock has not moved on."""
        self._last = max(self.now(), math.nextafter(self._last, math.inf))
        return self._last

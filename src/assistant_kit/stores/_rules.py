"""What every store decides in the same way, as functions of values: names, limits, the tail of a journal, its clock."""

import math
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from assistant_kit import audit_chain
from assistant_kit.audit_chain import AuditLink, AuditNote, Fence
from assistant_kit.errors import InputError
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record

MAX_NAME = 255
"""Characters of a user, a conversation, an owner or a record id: short enough for an index of any database."""

MAX_TITLE = 4000
"""Characters of a title: enough for a sentence, encrypted."""

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


def check_transaction(lease: Lease, write: Append) -> None:
    """Refuse what the work of a transaction returned if no conversation can take it. Raises InputError."""
    if (write.lease.conversation, write.lease.fence) != (lease.conversation, lease.fence):
        raise InputError("the work of a transaction returns a write under the lease of this transaction")
    check_append(write)


def check_place(conversation: str, place: int, *, records: int) -> None:
    """Refuse to fork or rewind at a record that is not there; 0 stands before the first. Raises InputError."""
    if not 0 <= place <= records:
        raise InputError(f"conversation {conversation!r} has {records} records: {place} is none of them")


def _check_record(record: NewRecord) -> None:
    check_name("record id", record.record_id)
    if not 0 <= record.tokens <= MAX_TOKENS:
        raise InputError(f"record {record.record_id!r} has {record.tokens} tokens: it may have 0 to {MAX_TOKENS}")


def check_title(title: str) -> None:
    """Refuse a title that some database cannot hold. Raises InputError."""
    if len(title) > MAX_TITLE:
        raise InputError(f"a title has at most {MAX_TITLE} characters, this one has {len(title)}")
    if "\0" in title or not _has_utf8(title):
        raise InputError(f"title {title!r} has characters that cannot be stored: NUL or lone surrogates")


def name_of_erased() -> str:
    """Return the made-up user to whom the audit chain of an erased one passes."""
    return f"erased-{secrets.token_hex(16)}"


def noted(write: Append) -> AuditNote | None:
    """Return what the audit chain says of a write; None when it has no records."""
    return noted_under(write.lease.fence, write.lease.conversation, write.records) if write.records else None


def noted_under(fence: Fence, conversation: str, records: Sequence[NewRecord]) -> AuditNote:
    """Return what the audit chain says of records that are written under a fence."""
    shown = ((new.record_id, new.kind, new.tokens, new.body) for new in records)
    return audit_chain.appended(conversation, shown, fence=fence)


def chained(previous: AuditLink | None, note: AuditNote, *, at: float) -> AuditLink:
    """Return the link behind `previous`, or the first one; `at` is the store's time in seconds."""
    at_us = int(at * 1_000_000)
    return AuditLink(
        n=1 if previous is None else previous.n + 1,
        at_us=at_us,
        payload=note.payload,
        salt=note.salt,
        digest=note.digest,
        link=audit_chain.link_after(audit_chain.GENESIS if previous is None else previous.link, note.digest, at_us),
    )


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
        self.now: Callable[[], float] = now
        self._last = -math.inf

    def tick(self) -> float:
        """Return the time, or the next representable one after the last tick when the clock has not moved on."""
        self._last = max(self.now(), math.nextafter(self._last, math.inf))
        return self._last

"""The statements behind a lease and what is written under it.

They run inside a transaction that the caller begins and ends. Each takes a connection and the time, and reaches a
conversation through its user only.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from assistant_kit import audit_chain
from assistant_kit.errors import ConversationBusy, ConversationConflict, LeaseLost
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores._rules import beginning, begun, noted
from assistant_kit.stores.sqlite import chain
from assistant_kit.stores.sqlite.reading import Key, Window, newest_first
from assistant_kit.stores.sqlite.segments import find, place

# The number of a new conversation's segment is one that no segment has ever had, as `segments.next_segment` says.
_CLAIM: Final = """
    INSERT INTO conversations (segment, user, conversation, fence, lease_owner, lease_until, created_at, updated_at)
    SELECT max(segment, ifnull((SELECT max(segment) FROM conversations), 0)) + 1,
        :user, :conversation, fence + 1, :owner, :now + :ttl, :at, :at
    FROM store WHERE true
    ON CONFLICT (user, conversation) DO UPDATE
    SET fence = fence + 1, lease_owner = :owner, lease_until = :now + :ttl
    WHERE lease_owner IS NULL OR lease_owner = :owner OR lease_until <= :now
    RETURNING fence, seq, state, open_turn, segment, base
"""
_LEASE_END: Final = "SELECT lease_until FROM conversations WHERE user = ? AND conversation = ?"
_RENEW: Final = "UPDATE conversations SET lease_until = ? WHERE user = ? AND conversation = ? AND fence = ?"
# A lease that is given up takes its fence along: nothing of the old holder that is still under way gets through.
_RELEASE: Final = """
    UPDATE conversations SET fence = fence + 1, lease_owner = NULL
    WHERE user = ? AND conversation = ? AND fence = ?
"""
_ADVANCE: Final = """
    UPDATE conversations
    SET seq = seq + ?, total_tokens = total_tokens + ?, state = ?, open_turn = ?, updated_at = ?
    WHERE user = ? AND conversation = ? AND fence = ? AND seq = ?
    RETURNING segment, base, total_tokens, (SELECT audit FROM store)
"""
_UNBEGIN: Final = """
    UPDATE conversations AS c
    SET seq = seq - 1, state = 'idle', open_turn = NULL,
        total_tokens = total_tokens - (SELECT tokens FROM records WHERE place = (c.segment << 32) + c.seq)
    WHERE user = ? AND conversation = ? AND fence = ? AND seq = ?
    RETURNING segment
"""
_FORGET: Final = "DELETE FROM records WHERE place = ?"
_INSERT: Final = """
    INSERT INTO records (place, segment, record_id, kind, body, tokens, total_tokens, fence, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_STANDING: Final = "SELECT fence, seq FROM conversations WHERE user = ? AND conversation = ?"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim asks for."""

    key: Key
    owner: str
    ttl: float
    begin: NewRecord | None


def claim(connection: sqlite3.Connection, asked: Claim, *, now: float, at: float) -> Lease:
    """Take the lease, making the conversation when it is new. Raises ConversationBusy."""
    key, owner, begin = asked.key, asked.owner, asked.begin
    user, conversation = key
    row = connection.execute(
        _CLAIM, {"user": user, "conversation": conversation, "owner": owner, "ttl": asked.ttl, "now": now, "at": at}
    ).fetchone()
    if row is None:
        (lease_until,) = connection.execute(_LEASE_END, key).fetchone()
        raise ConversationBusy(conversation, lease_until - now)
    fence, seq, state, open_turn, segment, base = row
    lease = Lease(
        conversation=conversation, owner=owner, fence=fence, seq=seq, at=now, state=state, open_turn=open_turn
    )
    if begin is None or state != "idle" or (seq and find(connection, segment, base, begin.record_id) is not None):
        return lease
    append(connection, user, beginning(lease, begin), at)
    return begun(lease)


def renew(connection: sqlite3.Connection, user: str, lease: Lease, until: float) -> None:
    """Let the lease end at `until`. Raises LeaseLost."""
    if not connection.execute(_RENEW, (until, user, lease.conversation, lease.fence)).rowcount:
        raise LeaseLost(lease.conversation)


def release(connection: sqlite3.Connection, user: str, lease: Lease) -> None:
    """Give the lease up if it is still the newest one."""
    connection.execute(_RELEASE, (user, lease.conversation, lease.fence))


def undo_claim(connection: sqlite3.Connection, user: str, lease: Lease, at: float) -> None:
    """Take back a claim that nobody has heard of, with the turn that it has begun."""
    if lease.begun:
        standing = connection.execute(_UNBEGIN, (user, lease.conversation, lease.fence, lease.seq)).fetchall()
        connection.executemany(_FORGET, [(place(segment, lease.seq),) for (segment,) in standing])
        if standing and chain.is_kept(connection):
            chain.add(connection, user, audit_chain.rewound(lease.conversation, to=lease.seq - 1), at)
    release(connection, user, lease)


def append(connection: sqlite3.Connection, user: str, write: Append, at: float) -> bool:
    """Write records; return False if this very write took place before, and nothing was written now.

    Raises LeaseLost, ConversationConflict, with some of them written: roll back then.
    """
    lease, records = write.lease, write.records
    added = sum([new.tokens for new in records])
    row = connection.execute(
        _ADVANCE,
        (
            len(records),
            added,
            write.state,
            write.open_turn,
            at,
            user,
            lease.conversation,
            lease.fence,
            write.expected_seq,
        ),
    ).fetchone()
    if row is None:
        _accept_repeated(connection, user, write)
        return False
    segment, base, total, audited = row
    if base and any(find(connection, segment, base, new.record_id) for new in records):
        raise _taken(write)
    _insert(connection, write, segment, total - added, at)
    note = noted(write) if audited else None
    if note is not None:
        chain.add(connection, user, note, at)
    if write.release:
        release(connection, user, lease)
    return True


def _insert(connection: sqlite3.Connection, write: Append, segment: int, total: int, at: float) -> None:
    where, fence = place(segment, write.expected_seq), write.lease.fence
    for new in write.records:
        where += 1
        total += new.tokens
        row = (where, segment, new.record_id, new.kind, new.body, new.tokens, total, fence, at)
        try:
            connection.execute(_INSERT, row)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            raise _taken(write) from error


def _taken(write: Append) -> ConversationConflict:
    """Return what to raise when one of the record ids stands in the conversation already."""
    return ConversationConflict(write.lease.conversation, expected=write.expected_seq, found=write.expected_seq)


def _accept_repeated(connection: sqlite3.Connection, user: str, write: Append) -> None:
    """Return if this very write took place before. Raises LeaseLost, ConversationConflict."""
    lease, key = write.lease, (user, write.lease.conversation)
    standing = connection.execute(_STANDING, key).fetchone()
    if standing is None:
        raise LeaseLost(lease.conversation)
    fence, seq = standing
    first, count = write.expected_seq, len(write.records)
    window = Window.of(after=first, before=first + count + 1, limit=None)
    stored = list(newest_first(connection, key, window))[::-1]
    repeated = bool(stored) and [record.record_id for record in stored] == [new.record_id for new in write.records]
    if fence != lease.fence:
        # A last write that gave the lease up may be repeated: it took place if these are its records.
        if repeated and write.release and stored[-1].fence == lease.fence:
            return
        raise LeaseLost(lease.conversation)
    if not repeated:
        raise ConversationConflict(lease.conversation, expected=write.expected_seq, found=seq)

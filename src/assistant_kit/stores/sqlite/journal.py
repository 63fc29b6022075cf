"""The statements behind each operation of a store. They run inside a transaction that the caller begins and ends.

Each takes a connection and the time, and reaches a conversation through its user only.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from assistant_kit.errors import ConversationBusy, ConversationConflict, ConversationNotFound, LeaseLost
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record
from assistant_kit.stores._rules import beginning, begun, tail

MAX_SEQ: Final = 2**32 - 1
"""Records of one conversation: `place` has 32 bits for them."""

_EVERYTHING: Final = -1  # SQLite's LIMIT for no limit

Key: TypeAlias = tuple[str, str]
"""A user and a conversation."""

_CLAIM: Final = """
    INSERT INTO conversations (user, conversation, fence, lease_owner, lease_until, created_at, updated_at)
    VALUES (:user, :conversation, (SELECT fence FROM deleted) + 1, :owner, :now + :ttl, :at, :at)
    ON CONFLICT (user, conversation) DO UPDATE
    SET fence = fence + 1, lease_owner = :owner, lease_until = :now + :ttl
    WHERE lease_owner IS NULL OR lease_owner = :owner OR lease_until <= :now
    RETURNING fence, seq, state, open_turn
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
    RETURNING key, total_tokens
"""
_UNBEGIN: Final = """
    UPDATE conversations AS c
    SET seq = seq - 1, state = 'idle', open_turn = NULL,
        total_tokens = total_tokens - (SELECT tokens FROM records WHERE place = (c.key << 32) + c.seq)
    WHERE user = ? AND conversation = ? AND fence = ? AND seq = ?
    RETURNING key
"""
_FORGET: Final = "DELETE FROM records WHERE place = ?"
_INSERT: Final = """
    INSERT INTO records (place, conversation, record_id, kind, body, tokens, total_tokens, fence, at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_STANDING: Final = "SELECT key, fence, seq FROM conversations WHERE user = ? AND conversation = ?"
_STORED_IDS: Final = "SELECT record_id, fence FROM records WHERE place BETWEEN ? AND ? ORDER BY place"
_READ: Final = """
    SELECT place & 0xFFFFFFFF, record_id, kind, body, tokens, total_tokens, fence, at FROM records
    WHERE place > (SELECT key << 32 | :after FROM conversations WHERE user = :user AND conversation = :conversation)
    AND place < (SELECT key << 32 | :before FROM conversations WHERE user = :user AND conversation = :conversation)
    ORDER BY place DESC LIMIT :limit
"""
_EXISTS: Final = "SELECT 1 FROM conversations WHERE user = ? AND conversation = ?"
_LOCATE: Final = """
    SELECT place & 0xFFFFFFFF FROM records
    WHERE conversation = (SELECT key FROM conversations WHERE user = ? AND conversation = ?) AND record_id = ?
"""
_LIST: Final = """
    SELECT conversation, seq, state, created_at, updated_at FROM conversations
    WHERE user = ? AND updated_at < ? ORDER BY updated_at DESC LIMIT ?
"""
_FIND_FOR_DELETE: Final = """
    SELECT key, fence, lease_owner, lease_until FROM conversations WHERE user = ? AND conversation = ?
"""


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
    fence, seq, state, open_turn = row
    lease = Lease(
        conversation=conversation, owner=owner, fence=fence, seq=seq, at=now, state=state, open_turn=open_turn
    )
    if begin is None or state != "idle" or (seq and locate(connection, key, begin.record_id) is not None):
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


def undo_claim(connection: sqlite3.Connection, user: str, lease: Lease) -> None:
    """Take back a claim that nobody has heard of, with the turn that it has begun."""
    if lease.begun:
        standing = connection.execute(_UNBEGIN, (user, lease.conversation, lease.fence, lease.seq)).fetchall()
        connection.executemany(_FORGET, [((key << 32) + lease.seq,) for (key,) in standing])
    release(connection, user, lease)


def append(connection: sqlite3.Connection, user: str, write: Append, at: float) -> None:
    """Write records. Raises LeaseLost, ConversationConflict, with some of them written: roll back then."""
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
        return
    number, total = row
    place, total = (number << 32) + write.expected_seq, total - added
    for new in records:
        place += 1
        total += new.tokens
        row = (place, number, new.record_id, new.kind, new.body, new.tokens, total, lease.fence, at)
        try:
            connection.execute(_INSERT, row)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            raise ConversationConflict(
                lease.conversation, expected=write.expected_seq, found=write.expected_seq
            ) from error
    if write.release:
        release(connection, user, lease)


def _accept_repeated(connection: sqlite3.Connection, user: str, write: Append) -> None:
    """Return if this very write took place before. Raises LeaseLost, ConversationConflict."""
    lease = write.lease
    standing = connection.execute(_STANDING, (user, lease.conversation)).fetchone()
    if standing is None:
        raise LeaseLost(lease.conversation)
    key, fence, seq = standing
    first = (key << 32) + write.expected_seq + 1
    stored = connection.execute(_STORED_IDS, (first, first + len(write.records) - 1)).fetchall()
    repeated = bool(stored) and [record_id for record_id, _ in stored] == [new.record_id for new in write.records]
    if fence != lease.fence:
        # A last write that gave the lease up may be repeated: it took place if these are its records.
        if repeated and write.release and stored[-1][1] == lease.fence:
            return
        raise LeaseLost(lease.conversation)
    if not repeated:
        raise ConversationConflict(lease.conversation, expected=write.expected_seq, found=seq)


def read(
    connection: sqlite3.Connection,
    key: Key,
    *,
    after: int,
    before: int | None,
    max_tokens: int | None,
    limit: int | None,
) -> tuple[Record, ...]:
    """Return the newest records that fit the limits, in order. Raises ConversationNotFound."""
    user, conversation = key
    rows = connection.execute(
        _READ,
        {
            "user": user,
            "conversation": conversation,
            "after": min(max(0, after), MAX_SEQ),
            "before": MAX_SEQ if before is None else min(max(0, before), MAX_SEQ),
            "limit": _EVERYTHING if limit is None else min(max(0, limit), MAX_SEQ),
        },
    )
    # Rows are fetched one by one: those that no longer fit are never read from the file.
    found = tail(_records(rows), max_tokens)
    rows.close()
    if not found and connection.execute(_EXISTS, key).fetchone() is None:
        raise ConversationNotFound(conversation)
    return found


def _records(rows: sqlite3.Cursor) -> Iterator[Record]:
    for seq, record_id, kind, body, tokens, total_tokens, fence, at in rows:
        yield Record(
            seq=seq,
            record_id=record_id,
            kind=kind,
            body=body,
            tokens=tokens,
            total_tokens=total_tokens,
            fence=fence,
            at=at,
        )


def locate(connection: sqlite3.Connection, key: Key, record_id: str) -> int | None:
    """Return the seq of a record by its id."""
    row = connection.execute(_LOCATE, (*key, record_id)).fetchone()
    return None if row is None else row[0]


def conversations(connection: sqlite3.Connection, user: str, limit: int, before: float) -> tuple[ConversationInfo, ...]:
    """Return conversations that changed before a time, the last changed first."""
    rows = connection.execute(_LIST, (user, before, min(max(0, limit), MAX_SEQ)))
    return tuple(
        ConversationInfo(
            conversation=conversation, records=seq, state=state, created_at=created_at, updated_at=updated_at
        )
        for conversation, seq, state, created_at, updated_at in rows
    )


def delete(connection: sqlite3.Connection, key: Key, now: float) -> None:
    """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy."""
    row = connection.execute(_FIND_FOR_DELETE, key).fetchone()
    if row is None:
        raise ConversationNotFound(key[1])
    number, fence, lease_owner, lease_until = row
    if lease_owner is not None and lease_until > now:
        raise ConversationBusy(key[1], lease_until - now)
    first = number << 32
    connection.execute("DELETE FROM records WHERE place BETWEEN ? AND ?", (first, first + MAX_SEQ))
    connection.execute("DELETE FROM conversations WHERE key = ?", (number,))
    connection.execute("UPDATE deleted SET fence = max(fence, ?)", (fence,))

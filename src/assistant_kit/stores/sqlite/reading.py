"""The statements behind reading: records of a conversation, and lists of conversations and users."""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple, TypeAlias

from assistant_kit.errors import ConversationNotFound
from assistant_kit.protocols.store import ConversationInfo, Record, TurnState, Unfinished
from assistant_kit.stores._rules import tail
from assistant_kit.stores.sqlite.failures import damaged
from assistant_kit.stores.sqlite.segments import MAX_SEQ, find, pieces, place

Key: TypeAlias = tuple[str, str]
"""A user and a conversation."""

_EVERYTHING: Final = -1  # SQLite's LIMIT for no limit

_READ: Final = """
    SELECT place & 0xFFFFFFFF, record_id, kind, body, tokens, total_tokens, fence, at FROM records
    WHERE place > (SELECT segment << 32 | :after FROM conversations WHERE user = :user AND conversation = :conversation)
    AND place < (SELECT segment << 32 | :before FROM conversations WHERE user = :user AND conversation = :conversation)
    ORDER BY place DESC LIMIT :limit
"""
_READ_PIECE: Final = """
    SELECT place & 0xFFFFFFFF, record_id, kind, body, tokens, total_tokens, fence, at FROM records
    WHERE place > ? AND place < ? ORDER BY place DESC LIMIT ?
"""
_STANDING: Final = "SELECT segment, base FROM conversations WHERE user = ? AND conversation = ?"
_SHOWN: Final = (
    "SELECT conversation, seq, state, created_at, updated_at, title FROM conversations WHERE user = ? AND {}"
)
_LIST: Final = _SHOWN.format("updated_at < ? ORDER BY updated_at DESC LIMIT ?")
_INFO: Final = _SHOWN.format("conversation = ?")
_FREE: Final = """
    SELECT user, conversation, state, updated_at FROM conversations
    WHERE state = ? AND (lease_owner IS NULL OR lease_until <= ?) {} ORDER BY updated_at LIMIT ?
"""
# The condition that seems to say nothing lets SQLite use an index in which idle conversations are not.
_UNFINISHED: Final = _FREE.format("AND state <> 'idle'")
_IDLE: Final = _FREE.format("")
_USERS: Final = """
    SELECT user FROM conversations WHERE user > :after
    UNION SELECT user FROM chains WHERE user > :after
    ORDER BY user LIMIT :limit
"""


class Window(NamedTuple):
    """Which records are asked for: those with `after` < seq < `before`, of these the newest `limit`."""

    after: int
    before: int
    limit: int

    @classmethod
    def of(cls, *, after: int, before: int | None, limit: int | None) -> "Window":
        """Return the window that a caller describes, in numbers that SQLite can hold."""
        return cls(
            after=min(max(0, after), MAX_SEQ),
            before=MAX_SEQ if before is None else min(max(0, before), MAX_SEQ),
            limit=_EVERYTHING if limit is None else min(max(0, limit), MAX_SEQ),
        )


def read(connection: sqlite3.Connection, key: Key, window: Window, max_tokens: int | None) -> tuple[Record, ...]:
    """Return the newest records that fit the limits, in order. Raises ConversationNotFound."""
    # Rows are fetched one by one: those that no longer fit are never read from the file.
    with closing(newest_first(connection, key, window)) as records:
        return tail(records, max_tokens)


def newest_first(connection: sqlite3.Connection, key: Key, window: Window) -> Generator[Record]:
    """Yield records, from whichever segments they stand in. Raises ConversationNotFound."""
    after, before, limit = window
    user, conversation = key
    seq, left = before, limit
    rows = connection.execute(
        _READ, {"user": user, "conversation": conversation, "after": after, "before": before, "limit": limit}
    )
    for record in _records(rows):
        yield record
        seq, left = record.seq, left - 1
    if left != limit and (left == 0 or seq == after + 1):
        return  # seqs have no gaps: nothing stands further up
    standing = connection.execute(_STANDING, key).fetchone()
    if standing is None:
        raise ConversationNotFound(conversation)
    segment, base = standing
    if base:
        yield from _shared(connection, segment, Window(after, min(before, base + 1), left))


def _shared(connection: sqlite3.Connection, segment: int, window: Window) -> Iterator[Record]:
    """Yield the records that stand above a segment."""
    after, before, left = window
    for piece, top in pieces(connection, segment):
        ends = place(piece, after), place(piece, min(before, top + 1))
        for record in _records(connection.execute(_READ_PIECE, (*ends, left))):
            yield record
            left -= 1


def _records(rows: sqlite3.Cursor) -> Iterator[Record]:
    for seq, record_id, kind, body, tokens, total_tokens, fence, at in rows:
        if not (type(body) is bytes and type(tokens) is int and type(record_id) is str and type(kind) is str):
            raise damaged(f"record {seq} of a conversation")
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
    standing = connection.execute(_STANDING, key).fetchone()
    if standing is None:
        return None
    segment, base = standing
    return find(connection, segment, base, record_id)


def conversations(connection: sqlite3.Connection, user: str, limit: int, before: float) -> tuple[ConversationInfo, ...]:
    """Return conversations that changed before a time, the last changed first."""
    rows = connection.execute(_LIST, (user, before, min(max(0, limit), MAX_SEQ)))
    return tuple(_info(*row) for row in rows)


def info(connection: sqlite3.Connection, key: Key) -> ConversationInfo:
    """Return what lists show of one conversation. Raises ConversationNotFound."""
    row = connection.execute(_INFO, key).fetchone()
    if row is None:
        raise ConversationNotFound(key[1])
    return _info(*row)


def _info(
    conversation: str, seq: int, state: TurnState, created_at: float, updated_at: float, title: str
) -> ConversationInfo:
    return ConversationInfo(
        conversation=conversation, records=seq, state=state, created_at=created_at, updated_at=updated_at, title=title
    )


def unfinished(connection: sqlite3.Connection, state: TurnState, limit: int, now: float) -> tuple[Unfinished, ...]:
    """Return conversations of all users in this state that nobody holds, the longest unchanged first."""
    asked = _IDLE if state == "idle" else _UNFINISHED
    rows = connection.execute(asked, (state, now, min(max(0, limit), MAX_SEQ)))
    return tuple(
        Unfinished(user=user, conversation=conversation, state=found, updated_at=updated_at)
        for user, conversation, found, updated_at in rows
    )


def users(connection: sqlite3.Connection, after: str, limit: int) -> Sequence[str]:
    """Return users who have a conversation or an audit chain, in the order of their UTF-8 bytes."""
    rows = connection.execute(_USERS, {"after": after, "limit": min(max(0, limit), MAX_SEQ)})
    return tuple(user for (user,) in rows)

"""The statements that change what a conversation is, rather than add to it: fork, rewind, rename, delete."""

import sqlite3
from typing import Final

from assistant_kit import audit_chain
from assistant_kit.audit_chain import AuditNote
from assistant_kit.errors import ConversationBusy, ConversationExists, ConversationNotFound, LeaseLost
from assistant_kit.protocols.store import Lease
from assistant_kit.stores._rules import check_place
from assistant_kit.stores.sqlite import chain
from assistant_kit.stores.sqlite.reading import Key
from assistant_kit.stores.sqlite.segments import (
    carry_on,
    cut,
    home,
    let_go,
    next_segment,
    retire,
    shared_up_to,
    total_at,
)

_TITLE: Final = "SELECT title FROM conversations WHERE user = ? AND conversation = ?"
_RENAME: Final = "UPDATE conversations SET title = ? WHERE user = ? AND conversation = ?"
_SOURCE: Final = "SELECT segment, seq, fence FROM conversations WHERE user = ? AND conversation = ?"
_AS_FORKED: Final = """
    SELECT origin = ? AND base = ? AND seq = base AND state = 'idle' AND updated_at = created_at
    FROM conversations WHERE user = ? AND conversation = ?
"""
# Above all fences of the name, so that no old lease opens it, and of the source, so that they never go back.
_FORK: Final = """
    INSERT INTO conversations
        (segment, user, conversation, fence, lease_until, seq, base, total_tokens, origin, created_at, updated_at)
    SELECT :segment, :user, :conversation, max(fence, :fence) + 1, 0, :base, :base, :total, :origin, :at, :at FROM store
"""
_HELD: Final = """
    SELECT segment, base, seq, state FROM conversations WHERE user = ? AND conversation = ? AND fence = ?
"""
_REWIND: Final = """
    UPDATE conversations
    SET segment = ?, base = ?, seq = ?, total_tokens = ?, state = 'idle', open_turn = NULL, updated_at = ?
    WHERE segment = ?
"""
_FIND_FOR_DELETE: Final = """
    SELECT segment, fence, lease_owner, lease_until FROM conversations WHERE user = ? AND conversation = ?
"""
_DELETE: Final = "DELETE FROM conversations WHERE segment = ?"
_ORPHAN: Final = "UPDATE conversations SET origin = NULL WHERE user = ? AND origin = ?"


def rename(connection: sqlite3.Connection, key: Key, title: str, at: float) -> None:
    """Set the title. Raises ConversationNotFound."""
    row = connection.execute(_TITLE, key).fetchone()
    if row is None:
        raise ConversationNotFound(key[1])
    if row[0] != title:
        connection.execute(_RENAME, (title, *key))
        _note(connection, key[0], audit_chain.renamed(key[1], title), at)


def fork(connection: sqlite3.Connection, key: Key, new: str, upto: int, at: float) -> None:
    """Make `new` of the first `upto` records. Raises ConversationNotFound, ConversationExists, InputError."""
    user, conversation = key
    source = connection.execute(_SOURCE, key).fetchone()
    if source is None:
        raise ConversationNotFound(conversation)
    parent, seq, fence = source
    check_place(conversation, upto, records=seq)
    found = connection.execute(_AS_FORKED, (conversation, upto, user, new)).fetchone()
    if found is not None:
        if found[0]:
            return
        raise ConversationExists(new)
    parent, segment = home(connection, parent, upto), next_segment(connection)
    connection.execute(
        _FORK,
        {
            "segment": segment,
            "user": user,
            "conversation": new,
            "fence": fence,
            "base": upto,
            "total": total_at(connection, parent, upto),
            "origin": conversation,
            "at": at,
        },
    )
    carry_on(connection, segment, parent=parent, base=upto)
    _note(connection, user, audit_chain.forked(new, source=conversation, at=upto), at)


def rewind(connection: sqlite3.Connection, user: str, lease: Lease, to: int, at: float) -> None:
    """Let a conversation go on after its record `to`. Raises LeaseLost, InputError."""
    row = connection.execute(_HELD, (user, lease.conversation, lease.fence)).fetchone()
    if row is None:
        raise LeaseLost(lease.conversation)
    old, base, seq, state = row
    check_place(lease.conversation, to, records=seq)
    if to == seq and state == "idle":
        return
    holder = home(connection, old, to)
    total = total_at(connection, holder, to)
    # Where nobody shares what goes, the segment is simply cut, however often somebody changes their mind.
    stays = to >= base and to >= shared_up_to(connection, old)
    segment = old if stays else next_segment(connection)
    connection.execute(_REWIND, (segment, base if stays else to, to, total, at, old))
    if stays:
        cut(connection, old, after=to)
    else:
        carry_on(connection, segment, parent=holder, base=to)
        retire(connection, old)
        let_go(connection, old)
    _note(connection, user, audit_chain.rewound(lease.conversation, to=to), at)


def delete(connection: sqlite3.Connection, key: Key, now: float, at: float) -> None:
    """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy."""
    user, conversation = key
    row = connection.execute(_FIND_FOR_DELETE, key).fetchone()
    if row is None:
        raise ConversationNotFound(conversation)
    segment, fence, lease_owner, lease_until = row
    if lease_owner is not None and lease_until > now:
        raise ConversationBusy(conversation, lease_until - now)
    connection.execute(_DELETE, (segment,))
    connection.execute(_ORPHAN, key)
    retire(connection, segment, fence)
    let_go(connection, segment)
    _note(connection, user, audit_chain.deleted(conversation), at)


def _note(connection: sqlite3.Connection, user: str, note: AuditNote, at: float) -> None:
    if chain.is_kept(connection):
        chain.add(connection, user, note, at)

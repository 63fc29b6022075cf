"""The rows of the message table, made of what the assistant's store writes, in the same transaction."""

import sqlite3
from datetime import UTC, datetime
from typing import Any

from assistant_kit.protocols.projection import Projected
from assistant_kit.stores.projected import said

_TOUCH = "UPDATE conversation SET updated_at = ? WHERE id = ?"
_ADD = """INSERT INTO message (user_id, conversation_id, role, content, created_at)
SELECT user_id, id, ?, ?, ? FROM conversation WHERE id = ?"""


class NoSuchConversation(Exception):
    """The conversation has been deleted, perhaps with its user: nothing may be said in it any more."""


def write_messages(connection: Any, written: Projected) -> None:
    """Write what was said. Raises NoSuchConversation, so that the journal is not written either.

    `connection` is the one of the store's transaction, of SQLite or Postgres; it neither commits nor rolls back.
    """
    messages = said(written.entries())
    if not messages:
        return
    at, mark = _moment(connection)
    conversation = int(written.conversation)
    if connection.execute(_TOUCH.replace("?", mark), (at, conversation)).rowcount != 1:
        raise NoSuchConversation
    for message in messages:
        content = message.text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # Postgres has no place for it
        connection.execute(_ADD.replace("?", mark), (message.role, content, at, conversation))


def _moment(connection: Any) -> tuple[datetime | str, str]:
    """Return the present as the database's driver takes it, and its mark for a parameter."""
    at = datetime.now(UTC)
    if isinstance(connection, sqlite3.Connection):
        return at.strftime("%Y-%m-%d %H:%M:%S.%f"), "?"  # as SQLAlchemy writes it
    return at, "%s"

"""Projections into a table of the application, and what stands there."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.protocols.store import Append, Lease, NewRecord, TurnState, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.projected import ProjectedStore

Row = tuple[str, str, int, str]
"""Whose record it is, in which conversation, its number and its id."""


def rows_of(written: Projected) -> list[Row]:
    return [
        (written.user, written.conversation, seq, record.record_id)
        for seq, record in enumerate(written.records, start=written.seq)
    ]


def into_memory(tables: dict[str, Any], written: Projected) -> None:
    tables.setdefault("rows", []).extend(rows_of(written))


class Taken(Exception):
    """A row of this key is there already."""


def once_into_memory(tables: dict[str, Any], written: Projected) -> None:
    """Write rows with a unique key, of a conversation and a number."""
    rows: dict[tuple[str, int], str] = tables.setdefault("unique", {})
    for _, conversation, seq, record_id in rows_of(written):
        if (conversation, seq) in rows or record_id in rows.values():
            raise Taken
        rows[conversation, seq] = record_id


def into_sqlite(connection: sqlite3.Connection, written: Projected) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS rows (user TEXT, conversation TEXT, seq INTEGER, record_id TEXT)")
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows_of(written))


def into_postgres(connection: psycopg.Connection, written: Projected) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO projected_rows VALUES (%s, %s, %s, %s)", rows_of(written))


def rows_in_memory(store: MemoryStore) -> list[Row]:
    return store.tables.get("rows", [])


def rows_in_sqlite(path: Path, table: str = "rows") -> Sequence[Any]:
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is None:
            return []
        return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608  (names of tests)


def new(record_id: str, *, tokens: int = 1) -> NewRecord:
    return NewRecord(record_id=record_id, kind="note", body=b"{}", tokens=tokens)


def writing(
    lease: Lease, at: int, *record_ids: str, state: TurnState = "open", open_turn: int | None = 1, release: bool = False
) -> Append:
    records = tuple(map(new, record_ids))
    return Append(lease=lease, expected_seq=at, records=records, state=state, open_turn=open_turn, release=release)


async def journal_of(user: UserStore, name: str, *conversations: str) -> list[Row]:
    """Return the records of conversations as rows."""
    return [
        (name, conversation, record.seq, record.record_id)
        for conversation in conversations
        for record in await user.read(conversation)
    ]


def over_memory(projection: Projection = into_memory) -> tuple[MemoryStore, UserStore]:
    """Return a store in memory and a user's handle on the one around it."""
    kept = MemoryStore()
    return kept, ProjectedStore(kept, projection).for_user("u")

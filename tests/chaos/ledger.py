"""A table beside the journals, in which transactional tools write: there is as much in it as was committed."""

import sqlite3
from contextlib import closing
from os import PathLike
from typing import Any, cast

import psycopg

from tests.chaos.orders import Deed

_MAKE = "CREATE TABLE IF NOT EXISTS ledger (tool TEXT NOT NULL, what TEXT NOT NULL, key TEXT NOT NULL)"
_INSERT = "INSERT INTO ledger (tool, what, key) VALUES ({0}, {0}, {0})"
_SELECT = "SELECT tool, what, key FROM ledger"


def make_in_postgres(url: str) -> None:
    """Make the table before workers come: several that do so at once get in each other's way there."""
    with psycopg.connect(url) as connection:
        connection.execute(_MAKE)


def write(connection: Any, deed: Deed) -> None:
    """Write in the transaction of a tool, whatever its store is."""
    row = (deed.tool, deed.what, deed.key)
    match connection:
        case dict():
            cast("dict[str, list[Any]]", connection).setdefault("ledger", []).append(row)
        case sqlite3.Connection():
            connection.execute(_MAKE)
            connection.execute(_INSERT.format("?"), row)
        case _:
            cast("psycopg.Connection", connection).execute(_INSERT.format("%s"), row)


def in_memory(tables: dict[str, Any]) -> list[Deed]:
    """What is in the table of a store in memory."""
    return _deeds(tables.get("ledger", []))


def in_sqlite(path: str | PathLike[str]) -> list[Deed]:
    """What is in the table of a file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(_MAKE)
        return _deeds(connection.execute(_SELECT).fetchall())


def in_postgres(url: str) -> list[Deed]:
    """What is in the table of a server."""
    with psycopg.connect(url) as connection:
        return _deeds(connection.execute(_SELECT).fetchall())


def _deeds(rows: list[Any]) -> list[Deed]:
    return [Deed(tool=tool, what=what, key=key) for tool, what, key in rows]

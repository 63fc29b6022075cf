"""What the conformance suites need to run on a projected store over SQLite and over Postgres."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import anyio.to_thread
import psycopg
import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.projected import ProjectedStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.conformance.store import TransactionConformance
from tests.stores.projected.rows import into_postgres, into_sqlite, rows_in_sqlite

TABLES = """
    CREATE TABLE IF NOT EXISTS projected_rows (user_name text, conversation text, seq integer, record_id text);
    CREATE TABLE IF NOT EXISTS projected_names (name text);
"""


class OverSQLite(TransactionConformance):
    """Each test has a file of its own."""

    now = 1_000_000.0

    async def open_store(self, folder: Path) -> ProjectedStore:
        self.path = folder / "chat.db"
        store = SQLiteStore(self.path, clock=lambda: self.now, synchronous="NORMAL")
        return ProjectedStore(store, into_sqlite)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: sqlite3.Connection, name: str) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS names (name TEXT)")
        connection.execute("INSERT INTO names VALUES (?)", (name,))

    async def put_names(self, store: Store) -> Sequence[str]:  # noqa: ARG002  (it is found by its path)
        return [name for (name,) in rows_in_sqlite(self.path, "names")]


class OverPostgres(TransactionConformance):
    """All tests share a schema."""

    ttl = 0.1
    url: ClassVar[str]

    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str) -> None:
        type(self).url = postgres_url
        with psycopg.connect(postgres_url) as connection:
            connection.execute(TABLES)

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (the journals are on a server)
        return ProjectedStore(PostgresStore(self.url, schema="projected", connections=2), into_postgres)

    async def put(self, connection: psycopg.Connection, name: str) -> None:
        await anyio.to_thread.run_sync(lambda: connection.execute("INSERT INTO projected_names VALUES (%s)", [name]))

    async def put_names(self, store: Store) -> Sequence[str]:  # noqa: ARG002
        with psycopg.connect(self.url) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM projected_names")]

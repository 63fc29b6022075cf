"""The conformance suites on a real Postgres."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import anyio.to_thread
import psycopg
import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.testing.conformance.store import AuditConformance, StoreConformance, TransactionConformance

pytestmark = pytest.mark.anyio


class TestPostgresStore(StoreConformance, TransactionConformance, AuditConformance):
    ttl = 0.1
    url: ClassVar[str]

    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str) -> None:
        type(self).url = postgres_url

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (the journals are on a server)
        return PostgresStore(self.url, schema="conformance", connections=2)

    async def open_audited(self, folder: Path) -> Store:  # noqa: ARG002
        return PostgresStore(self.url, schema="conformance_audited", connections=2, audit=True)

    async def put(self, connection: psycopg.Connection, name: str) -> None:
        def insert() -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS conformance_names (name text)")
            connection.execute("INSERT INTO conformance_names VALUES (%s)", [name])

        await anyio.to_thread.run_sync(insert)

    async def put_names(self, store: Store) -> Sequence[str]:  # noqa: ARG002
        with psycopg.connect(self.url) as connection:
            if connection.execute("SELECT to_regclass('conformance_names')").fetchone() == (None,):
                return []
            return [name for (name,) in connection.execute("SELECT name FROM conformance_names")]

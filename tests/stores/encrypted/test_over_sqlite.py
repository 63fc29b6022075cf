import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.conformance.store import StoreConformance, TransactionConformance

pytestmark = pytest.mark.anyio

KEYS = MasterKeys({"m1": os.urandom(32)})


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: the suite over memory runs on both."""
    return "asyncio"


class TestEncryptedSQLite(StoreConformance, TransactionConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> EncryptedStore:
        self.path = folder / "chat.db"
        return EncryptedStore(SQLiteStore(self.path, clock=lambda: self.now, synchronous="NORMAL"), KEYS)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: sqlite3.Connection, name: str) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS names (name TEXT)")
        connection.execute("INSERT INTO names VALUES (?)", (name,))

    async def put_names(self, store: Store) -> Sequence[str]:  # noqa: ARG002  (it is found by its path)
        with closing(sqlite3.connect(self.path)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'names'").fetchone() is None:
                return []
            return [name for (name,) in connection.execute("SELECT name FROM names")]

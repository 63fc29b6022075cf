"""Sessions on SQLite and on a real Postgres."""

from pathlib import Path
from typing import ClassVar

import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.integrations.openai_agents.session_cases import SessionCases

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio, as the SDK does; the stores run their own suites on both."""
    return "asyncio"


class TestOnSQLite(SessionCases):
    async def open_store(self, folder: Path) -> Store:
        return SQLiteStore(folder / "journals.db")


class TestOnPostgres(SessionCases):
    url: ClassVar[str]

    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str) -> None:
        type(self).url = postgres_url

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (the journals are on a server)
        return PostgresStore(self.url, schema="agents_sessions", connections=2)

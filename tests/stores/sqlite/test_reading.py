"""What a question costs does not grow with the journals beside the one that it is about."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from assistant_kit.stores.sqlite import SQLiteStore, reading

pytestmark = pytest.mark.anyio


async def test_one_conversation_is_looked_up_by_its_key(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    with anyio.fail_after(30):
        await store.for_user("u").claim("c", owner="w", ttl=60)
        await store.aclose()
    asked: list[str] = []
    with closing(sqlite3.connect(tmp_path / "chat.db")) as connection:
        connection.set_trace_callback(asked.append)
        assert reading.info(connection, ("u", "c")).conversation == "c"
        connection.set_trace_callback(None)

        (question,) = asked
        plan = [detail for _, _, _, detail in connection.execute(f"EXPLAIN QUERY PLAN {question}")]

    (step,) = plan
    assert step.startswith("SEARCH conversations USING INDEX")
    assert step.endswith("(user=? AND conversation=?)")

"""Checking the audit log by hand."""

import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread

from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.orchestrator.__main__ import main
from examples.flask_demo.orchestrator.audit import verify_users
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.settings import master_keys

pytestmark = pytest.mark.anyio


async def write(databases: Databases) -> None:
    """Begin an empty conversation, and one in which something was said."""
    store = databases.journals(master_keys({"MASTER_KEYS": MasterKeys.generate("k")}))
    ann = store.for_user("ann")
    empty = await ann.claim("empty", owner="w", ttl=5.0)
    await ann.release(empty)
    await ann.rename("empty", "a title")
    lease = await ann.claim("c", owner="w", ttl=5.0)
    record = NewRecord(record_id="r1", kind="k", body=b"hello")
    await ann.append(Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None, release=True))
    await store.aclose()


async def test_journals_are_verified_without_a_key_and_a_change_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "web.db"
    databases = Databases.at(f"sqlite:///{file}")
    await write(databases)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    for arguments in (["audit", "verify"], ["audit", "verify", "ann"]):
        assert await to_thread.run_sync(main, arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "users=1 wrong=0"
    with closing(sqlite3.connect(file)) as connection, connection:
        table = next(
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if "body" in {column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")}
        )
        connection.execute(f"UPDATE {table} SET body = x'00'")  # noqa: S608  (a table that is there)
    out = io.StringIO()
    assert not await verify_users(databases.kept(), None, out)
    assert "conversation 'c', record 1" in out.getvalue()

"""Files that are not ours, not yet ours, too new, damaged, or out of reach."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import anyio
import pytest

from assistant_kit.errors import ConversationBusy, StoreBusy, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore, schema
from assistant_kit.stores.sqlite.file import JournalFile
from tests.stores.sqlite.files import names

pytestmark = pytest.mark.anyio


async def use(path: Path, *, busy_timeout: float = 20.0) -> None:
    """Read and write, each of which opens the file."""
    store = SQLiteStore(path, busy_timeout=busy_timeout)
    user = store.for_user("u")
    with anyio.fail_after(60):
        try:
            await user.conversations()
            await user.claim("c", owner="w", ttl=60)
        finally:
            await store.aclose()


def allow(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)


def run_sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "place", ["missing/chat.db", ".", "file.txt/chat.db"], ids=["no folder", "folder", "in a file"]
)
async def test_a_place_where_no_file_can_be_is_unavailable(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_text("text")

    with pytest.raises(StoreUnavailable):
        await use(tmp_path / place)

    assert names(tmp_path) == ["file.txt"]


async def test_a_store_opens_as_soon_as_its_folder_exists(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "new" / "chat.db")
    user = store.for_user("u")
    with pytest.raises(StoreUnavailable):
        await user.claim("c", owner="w", ttl=60)

    (tmp_path / "new").mkdir()

    await user.claim("c", owner="w", ttl=60)
    await store.aclose()


@pytest.mark.parametrize("content", [b"hello", b"no database\n" * 500, b"SQLite format 3\0" + b"\xff" * 4080])
async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(StoreCorrupt):
        await use(path)

    assert path.read_bytes() == content
    assert names(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE conversations (id)"],
        ["PRAGMA application_id = 7"],
        ["PRAGMA user_version = 1"],
        ["PRAGMA application_id = 7", "CREATE TABLE t (x)", "PRAGMA user_version = 1"],
    ],
    ids=["tables", "application", "version", "all"],
)
async def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path, statements: list[str]) -> None:
    await refused(tmp_path, statements)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE task (id)", "CREATE TABLE Conversations (id)"],
        ["CREATE TABLE t (x)", "CREATE VIEW audit AS SELECT x FROM t"],
        ["CREATE TABLE t (x)", "PRAGMA application_id = 7"],
        ["CREATE TABLE t (x)", "PRAGMA user_version = 1"],
    ],
    ids=["table", "view", "application", "version"],
)
async def test_a_shared_file_is_refused_where_it_is_marked_or_has_tables_of_our_names(
    tmp_path: Path, statements: list[str]
) -> None:
    await refused(tmp_path, statements, shared=True)


async def test_a_shared_file_may_have_tables_of_the_application_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    run_sql(path, "CREATE TABLE task (title)", "INSERT INTO task VALUES ('milk')")
    store = SQLiteStore(path, shared=True)
    await store.for_user("u").claim("c", owner="w", ttl=60)
    await store.aclose()
    run_sql(path, "CREATE TABLE message (content)", "INSERT INTO message SELECT title FROM task")
    again = SQLiteStore(path)  # it is marked as ours now
    assert [info.conversation for info in await again.for_user("u").conversations()] == ["c"]
    await again.aclose()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT content FROM message").fetchall() == [("milk",)]


async def refused(tmp_path: Path, statements: list[str], *, shared: bool = False) -> None:
    path = tmp_path / "theirs.db"
    run_sql(path, *statements)
    before = path.read_bytes()
    store = SQLiteStore(path, shared=shared)

    with pytest.raises(StoreCorrupt):
        await store.open()

    await store.aclose()
    assert path.read_bytes() == before
    assert names(tmp_path) == ["theirs.db"]


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "chat.db").touch()

    await use(tmp_path / "chat.db")
    await use(tmp_path / "chat.db")


async def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    await use(path)
    run_sql(path, f"PRAGMA user_version = {len(schema.MIGRATIONS) + 3}")
    before = path.read_bytes()

    with pytest.raises(StoreTooNew) as caught:
        await use(path)

    assert (caught.value.place, caught.value.found) == (os.fspath(path), len(schema.MIGRATIONS) + 3)
    assert caught.value.supported == len(schema.MIGRATIONS)
    assert path.read_bytes() == before


VERSION_1 = (Path(__file__).parent / "version_1.sql").read_text()


async def test_an_older_schema_is_upgraded_and_keeps_its_journals(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
        records = old.execute("SELECT * FROM records ORDER BY place").fetchall()
    now = 1_000_030.0
    store = SQLiteStore(path, clock=lambda: now)
    alice, bob = store.for_user("alice"), store.for_user("bob é")

    with anyio.fail_after(60):
        listed = [
            [(info.conversation, info.records, info.state, info.title) for info in await user.conversations()]
            for user in (alice, bob)
        ]
        read = [
            (record.record_id, record.kind, record.body, record.tokens, record.total_tokens, record.fence, record.at)
            for user, name in ((alice, "c1"), (alice, "c2"), (bob, "c1"), (bob, "c2"))
            for record in await user.read(name)
        ]
        with pytest.raises(ConversationBusy):
            await alice.claim("c1", owner="w3", ttl=60)
        lease = await alice.claim("c1", owner="w2", ttl=60)
        await alice.append(
            Append(
                lease=lease,
                expected_seq=4,
                records=[NewRecord(record_id="m2", kind="k", body=b"", tokens=1)],
                state="idle",
                open_turn=None,
            )
        )
        anew = await bob.claim("gone", owner="w", ttl=60)
        await bob.fork("c1", "fork", at=2)

        assert listed == [
            [("c1", 4, "open", ""), ("c2", 3, "idle", "")],
            [("c2", 3, "idle", ""), ("c1", 3, "idle", "")],
        ]
        assert read == [record[2:] for record in records]
        assert (lease.fence, lease.seq, lease.state, lease.open_turn) == (4, 4, "open", 4)
        assert [record.total_tokens for record in await alice.read("c1")] == [3, 7, 7, 12, 13]
        assert anew.fence > 7  # the last fence of the one that was deleted
        assert [record.record_id for record in await bob.read("fork")] == ["t1", "m1"]
        await store.aclose()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_tables_that_are_kept_from_others_are_all_tables(tmp_path: Path) -> None:
    with closing(schema.open_connection(os.fspath(tmp_path / "chat.db"), schema.Setup())) as connection:
        made = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    assert made == schema.TABLES


async def test_an_upgrade_that_fails_leaves_the_old_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chat.db"
    await use(path)
    with monkeypatch.context() as newer:
        newer.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE half (x)", "CREATE TABLE half (x)")))
        with pytest.raises(StoreError):
            await use(path)

    await use(path)

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)


async def test_a_new_file_that_another_process_locks_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(StoreBusy):
            await use(path, busy_timeout=0.1)

    await use(path)


async def test_a_new_file_is_opened_as_soon_as_another_process_lets_go_of_it(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    async with anyio.create_task_group() as tasks:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # lets others look, but not change the mode
            tasks.start_soon(use, path)
            await anyio.wait_all_tasks_blocked()

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_new_file_that_another_process_does_not_let_go_of_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreBusy):
            await use(path, busy_timeout=0.1)


async def test_a_damaged_store_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = SQLiteStore(path)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    records = [NewRecord(record_id=f"r{n}", kind="k", body=b"x" * 3000) for n in range(50)]
    await user.append(Append(lease=lease, expected_seq=0, records=records, state="idle", open_turn=None))
    await store.aclose()
    content = bytearray(path.read_bytes())
    content[8 * 4096 :] = b"\xaa" * (len(content) - 8 * 4096)
    path.write_bytes(content)

    store = SQLiteStore(path)
    with pytest.raises(StoreCorrupt):
        await store.for_user("u").read("c")
    await store.aclose()

    assert path.read_bytes() == content


READ_ONLY = """
import os, sys, anyio
from assistant_kit.errors import StoreUnavailable
from assistant_kit.stores.sqlite import SQLiteStore

async def main():
    store = SQLiteStore(sys.argv[1])
    try:
        await store.for_user("u").claim("c", owner="w", ttl=60)
    except StoreUnavailable:
        print("unavailable")
    await store.aclose()

async def warm_up():
    import anyio._backends._asyncio

anyio.run(warm_up)
if os.geteuid() == 0:
    os.seteuid(65534)  # nothing is read-only for root
anyio.run(main)
"""


@pytest.mark.parametrize("file", ["none", "empty", "store"])
async def test_what_may_not_be_written_is_unavailable(file: str) -> None:
    with TemporaryDirectory() as place:
        path = Path(place) / "chat.db"
        if file == "store":
            await use(path)
        if file != "none":
            allow(path, 0o444)
        allow(Path(place), 0o555)

        with anyio.fail_after(15):  # less than the busy timeout: nothing is waited for
            done = await anyio.run_process(
                [sys.executable, "-c", READ_ONLY, path], stderr=subprocess.STDOUT, check=False
            )

        assert (done.returncode, done.stdout) == (0, b"unavailable\n")
        allow(Path(place), 0o777)


async def test_an_error_that_means_nothing_special_is_a_store_error(tmp_path: Path) -> None:
    file = JournalFile(str(tmp_path / "chat.db"), schema.Setup(busy_timeout=1))

    with pytest.raises(StoreError) as from_sqlite:
        await file.read(lambda connection: connection.execute("SELECT nonsense"))
    with pytest.raises(StoreError) as from_python:
        await file.read(lambda connection: connection.execute("SELECT ?", (object(),)))

    assert isinstance(from_sqlite.value.__cause__, sqlite3.OperationalError)
    assert isinstance(from_python.value.__cause__, sqlite3.Error)
    await file.aclose()


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_synchronous_is_what_sqlite_is_told(
    tmp_path: Path, synchronous: Literal["FULL", "NORMAL"], level: int
) -> None:
    setup = schema.Setup(synchronous=synchronous)
    with closing(schema.open_connection(os.fspath(tmp_path / "a"), setup)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_record_that_is_no_record_is_refused_whole(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    records = [
        NewRecord(record_id="a", kind="k", body=b"x"),
        NewRecord(record_id="b", kind="k", body=cast("bytes", "x")),
    ]

    with pytest.raises(StoreError):
        await user.append(Append(lease=lease, expected_seq=0, records=records, state="idle", open_turn=None))

    assert len(await user.read("c")) == 0
    await store.aclose()

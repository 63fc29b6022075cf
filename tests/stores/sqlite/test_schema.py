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

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore, schema
from assistant_kit.stores.sqlite.file import JournalFile

pytestmark = pytest.mark.anyio


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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

    assert files(tmp_path) == ["file.txt"]


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
    assert files(tmp_path) == ["notes.txt"]


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
    path = tmp_path / "theirs.db"
    run_sql(path, *statements)
    before = path.read_bytes()

    with pytest.raises(StoreCorrupt):
        await use(path)

    assert path.read_bytes() == before
    assert files(tmp_path) == ["theirs.db"]


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


async def test_an_older_schema_is_upgraded_and_keeps_its_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.db"
    await use(path)
    step = ("ALTER TABLE conversations ADD COLUMN title TEXT", "UPDATE conversations SET title = 'from before'")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))

    await use(path)
    await use(path)

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT conversation, title FROM conversations").fetchall() == [("c", "from before")]
        assert file.execute("PRAGMA user_version").fetchone() == (2,)


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
    file = JournalFile(str(tmp_path / "chat.db"), synchronous="FULL", busy_timeout=1)

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
    with closing(schema.open_connection(str(tmp_path / "a"), synchronous=synchronous, busy_timeout=1)) as connection:
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

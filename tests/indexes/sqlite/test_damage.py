"""Files that are damaged, foreign, locked, gone or full."""
# ruff: noqa: ASYNC240  (nothing else runs meanwhile)

import os
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import anyio
import apsw
import pytest

from assistant_kit.errors import (
    AssistantKitError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
)
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.indexes.sqlite.failures import store_error
from assistant_kit.indexes.sqlite.schema import MIGRATIONS
from assistant_kit.protocols.search_index import Where
from assistant_kit.testing.conformance.index_workbench import hit_ids, names_of, passage, toward

pytestmark = pytest.mark.anyio

PAGE = 4096
NOT_STRICT = (
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'passages'"
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run each test once: damage does not depend on the event loop."""
    return "asyncio"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an index that was closed."""
    path = tmp_path_factory.mktemp("whole") / "i.db"

    async def make() -> None:
        index = SQLiteIndex(path)
        with anyio.fail_after(30):
            for owner in ("a", "b"):
                await index.for_owner(owner).put(
                    [passage(f"p{n}", f"word w{n} " * (n + 1), labels={"n": n}, source="s") for n in range(150)]
                )
            await index.aclose()

    anyio.run(make)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    """An index that was closed."""
    (tmp_path / "i.db").write_bytes(content)
    return tmp_path / "i.db"


def opened_elsewhere(path: Path) -> Connection:
    return cast("Connection", apsw.Connection(str(path)))


def deeds(index: SQLiteIndex) -> list[Callable[[], Awaitable[object]]]:
    """Everything that can be asked and done, twice."""
    found: list[Callable[[], Awaitable[object]]] = [index.owners, index.open]
    for owned in map(index.for_owner, ("a", "b")):
        found += [
            lambda owned=owned: owned.page(limit=1000),
            lambda owned=owned: owned.page(where=Where(labels={"n": 3}, source="s", since=0.0)),
            lambda owned=owned: owned.get([f"p{n}" for n in range(150)]),
            lambda owned=owned: owned.keywords("word w3 w4", limit=200),
            lambda owned=owned: owned.nearest(toward(1), limit=200),
            lambda owned=owned: owned.nearest(toward(1), where=Where(labels={"n": 3})),
            lambda owned=owned: owned.put([passage("p1", "changed"), passage("new", "word")]),
            lambda owned=owned: owned.delete(["p5", "p77"]),
            lambda owned=owned: owned.delete_where(Where(labels={"n": 9})),
            lambda owned=owned: owned.erase(),
        ]
    return found


async def tried(index: SQLiteIndex) -> list[AssistantKitError]:
    """Do what can be done, and return the errors; any other error fails the test."""
    errors: list[AssistantKitError] = []
    with anyio.fail_after(60):
        for deed in deeds(index):
            try:
                await deed()
            except AssistantKitError as error:
                errors.append(error)
        await index.aclose()
    return errors


@pytest.mark.parametrize("seed", range(12))
async def test_damage_is_told_as_an_error_of_ours_or_does_no_harm(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 3, 30])):
        at = chance.randrange(100 if seed % 2 else PAGE, len(damaged) - 64)
        damaged[at : at + 64] = chance.randbytes(64)
    path.write_bytes(damaged)

    errors = await tried(SQLiteIndex(path))

    assert all(isinstance(error, StoreError) for error in errors)


async def test_an_error_that_somebody_keeps_does_not_keep_an_erasure_back(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE passages SET text = CAST(x'ff' AS TEXT) WHERE owner = 1")
        other.commit()
    index = SQLiteIndex(path, busy_timeout=0.1)
    kept: list[StoreCorrupt] = []
    for _ in range(4):  # on each of the threads that read
        for search in (index.for_owner("a").keywords("word"), index.for_owner("a").nearest(toward(1))):
            with pytest.raises(StoreCorrupt) as caught:
                await search
            kept.append(caught.value)

    assert await index.for_owner("b").erase() == 150

    assert len(kept) == 8
    await index.aclose()


async def test_an_index_cut_in_half_is_corrupt(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)

    assert StoreCorrupt in {type(error) for error in await tried(SQLiteIndex(path))}


async def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database" * 1000)

    with pytest.raises(StoreCorrupt):
        await SQLiteIndex(path).open()

    assert path.read_text() == "no database" * 1000


async def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")

    with pytest.raises(StoreCorrupt):
        await SQLiteIndex(path).open()

    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]


async def test_an_index_of_a_newer_version_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(StoreTooNew) as caught:
        await SQLiteIndex(path).open()

    assert (caught.value.found, caught.value.supported) == (len(MIGRATIONS) + 1, len(MIGRATIONS))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE passages SET labels = 'none'",
        "UPDATE passages SET text = CAST(x'ff' AS TEXT)",
        "DROP TABLE labels",
        "DROP TABLE words_content",
        "DROP TABLE vectors_chunks",
        "DELETE FROM store",
        NOT_STRICT,
    ],
)
async def test_tables_that_somebody_changed_are_corrupt(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.executescript(change)
    if change == NOT_STRICT:
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE passages SET source = x'00'")
            other.commit()

    errors = await tried(SQLiteIndex(path))

    assert {type(error) for error in errors} == {StoreCorrupt}


async def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "nowhere" / "i.db")

    with pytest.raises(StoreUnavailable):
        await index.open()

    (tmp_path / "nowhere").mkdir()
    await index.open()
    await index.aclose()


async def test_a_file_that_another_process_writes_for_too_long_is_busy(path: Path) -> None:
    index = SQLiteIndex(path, busy_timeout=0.05)
    # Locks part processes, and connections of one copy of SQLite: Python's module has another one.
    with closing(opened_elsewhere(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreBusy):
            await index.for_owner("a").put([passage("new")])
        assert len(await index.for_owner("a").page(limit=1000)) == 150

    await index.for_owner("a").put([passage("new")])
    await index.aclose()


@pytest.mark.parametrize("hold", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
async def test_a_new_file_that_another_process_holds_is_busy(tmp_path: Path, hold: str) -> None:
    path = tmp_path / "i.db"
    with closing(opened_elsewhere(path)) as other:
        other.execute(hold)

        with pytest.raises(StoreBusy):
            await SQLiteIndex(path, busy_timeout=0.05).open()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_goes_away_while_in_use_is_told_and_not_made_anew(
    path: Path, content: bytes, *, replaced: bool
) -> None:
    index = SQLiteIndex(path)
    await index.for_owner("a").put([passage("new")])
    await index.for_owner("a").page()
    for name in (path, path.with_name("i.db-wal"), path.with_name("i.db-shm")):
        name.unlink()
    if replaced:
        path.write_bytes(content)

    with pytest.raises(StoreUnavailable):
        await index.for_owner("a").put([passage("lost")])
    if not replaced:
        with pytest.raises(StoreUnavailable):
            await index.for_owner("a").put([passage("lost")])
        assert not path.exists()
        path.write_bytes(content)

    await index.for_owner("a").put([passage("after")])
    assert (await names_of(index.for_owner("a")))[0] == "after"
    await index.aclose()


@pytest.mark.parametrize("how", ["FAIL", "ROLLBACK"])
async def test_a_write_that_cannot_be_done_undoes_none_beside_it(path: Path, how: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON passages WHEN new.id = 'bad' BEGIN SELECT RAISE({how}, 'no'); END"
        )
        other.commit()
    index = SQLiteIndex(path)
    await index.open()
    refused: list[str] = []

    async def put(name: str) -> None:
        try:
            await index.for_owner("c").put([passage(f"{name}1"), passage(name)])
        except StoreError:
            refused.append(name)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in ("x", "bad", "y", "z"):
                tasks.start_soon(put, name)

    assert refused == ["bad"]
    assert await names_of(index.for_owner("c")) == ["x", "x1", "y", "y1", "z", "z1"]
    assert len(hit_ids(await index.for_owner("c").nearest(toward(1)))) == 6
    await index.aclose()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (apsw.FullError("x"), StoreUnavailable),
        (apsw.IOError("x"), StoreUnavailable),
        (apsw.ReadOnlyError("x"), StoreUnavailable),
        (apsw.LockedError("x"), StoreBusy),
        (apsw.TooBigError("x"), StoreError),
    ],
)
def test_errors_of_sqlite_are_told_in_our_words(error: apsw.Error, kind: type[StoreError]) -> None:
    assert type(store_error(error, "i.db")) is kind

import gc
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import (
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    UnknownStore,
)
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.shared_states.sqlite import ADVICE, SQLiteState
from assistant_kit.testing.conformance.shared_state import SharedStateConformance
from assistant_kit.testing.conformance.shared_state_workbench import increment, put

pytestmark = pytest.mark.anyio


# --8<-- [start:suite]
class TestSQLiteState(SharedStateConformance):
    async def open_state(self, folder: Path) -> SharedState:
        return SQLiteState(folder / "state.db")

    def elsewhere(self, folder: Path) -> str:
        path = str(folder / "state.db")
        return f"from assistant_kit.shared_states.sqlite import SQLiteState; state = SQLiteState({path!r})"


# --8<-- [end:suite]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncGenerator[SQLiteState]:
    state = SQLiteState(path, **settings)
    try:
        with anyio.fail_after(30):
            yield state
    finally:
        with anyio.fail_after(30, shield=True):
            await state.aclose()


def ask(path: Path, *statements: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        answers = [connection.execute(statement).fetchall() for statement in statements]
        connection.commit()
    return answers[-1]


def content(path: Path) -> bytearray:
    return bytearray(path.read_bytes())


def overwrite(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError):
        SQLiteState(path)


@pytest.mark.parametrize(
    ("address", "path"), [("sqlite:///a%20b.db", "a b.db"), ("sqlite:////srv/what%3F.db", "/srv/what?.db")]
)
def test_an_address_names_a_file(address: str, path: str) -> None:
    assert repr(SQLiteState.from_address(address)) == f"SQLiteState({path!r})"


def test_other_addresses_are_refused() -> None:
    with pytest.raises(UnknownStore):
        SQLiteState.from_address("redis://host")
    with pytest.raises(ConfigurationError):
        SQLiteState.from_address("sqlite:///a.db?mode=ro")


async def test_a_clock_that_was_set_back_counts_from_the_last_write_on(path: Path) -> None:
    async with opened(path, clock=lambda: 100.0) as state:
        await state.update("o", "k", put(b"v"))
    async with opened(path, clock=lambda: 40.0) as later:
        assert await later.update("o", "k", put(b"w", keep=5)) == 100.0
        assert await later.update("o", "new", put(b"v")) == 40.0
        assert await later.values("o") == {"k": b"w", "new": b"v"}
        assert await later.update("o", "k", put(b"gone", keep=0)) == 100.0
        assert await later.values("o") == {"new": b"v"}


async def test_values_that_nobody_asks_for_any_more_are_deleted(path: Path) -> None:
    times = [10.0]
    async with opened(path, clock=lambda: times[-1]) as state:
        for n in range(20):
            await state.update("o", f"old{n}", put(b"v", keep=1))
        times.append(20.0)
        for _ in range(64 - 20):
            await state.update("o", "k", increment)

    assert ask(path, "SELECT key FROM state") == [("k",)]


async def test_what_was_erased_is_not_in_the_file(path: Path) -> None:
    async with opened(path) as state:
        await state.update("o", "k", put(b"secret " * 5000))
        await state.update("stays", "k", put(b"plain"))
    assert b"secret" in content(path)

    async with opened(path) as state:
        await state.erase("o")

        found = [file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")]
        assert not any(b"secret" in content for content in found)
        assert any(b"plain" in content for content in found)


async def test_a_folder_that_is_missing_is_told_and_used_when_it_is_there(tmp_path: Path) -> None:
    async with opened(tmp_path / "none" / "state.db") as state:
        with pytest.raises(StoreUnavailable) as caught:
            await state.update("o", "k", increment)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)

        (tmp_path / "none").mkdir()
        assert await state.update("o", "k", increment) == 1


async def test_a_file_that_is_no_database_is_corrupt_and_left_as_it_is(path: Path) -> None:
    overwrite(path, b"notes " * 1000)
    async with opened(path) as state:
        with pytest.raises(StoreCorrupt):
            await state.update("o", "k", increment)

    assert content(path) == b"notes " * 1000


async def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    ask(path, "CREATE TABLE theirs (x)")
    async with opened(path) as state:
        with pytest.raises(StoreCorrupt):
            await state.values("o")

    assert ask(path, "SELECT name FROM sqlite_schema") == [("theirs",)]


async def test_a_newer_file_is_refused(path: Path) -> None:
    async with opened(path) as state:
        await state.values("o")
    ask(path, "PRAGMA user_version = 9")
    async with opened(path) as state:
        with pytest.raises(StoreTooNew) as caught:
            await state.values("o")

    assert (caught.value.found, caught.value.supported) == (9, 1)


async def test_a_file_that_another_process_holds_is_busy_and_then_not(path: Path) -> None:
    async with opened(path, busy_timeout=0.05) as state:
        assert await state.update("o", "k", increment) == 1
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                await state.update("o", "k", increment)

        assert await state.update("o", "k", increment) == 2


async def test_a_new_file_that_another_process_holds_is_busy(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # lets others look, but not change the mode
        async with opened(path, busy_timeout=0.05) as state:
            with pytest.raises(StoreBusy):
                await state.update("o", "k", increment)


async def test_of_many_that_make_one_file_at_once_one_makes_it(path: Path) -> None:
    async with AsyncExitStack() as stack:
        states = [await stack.enter_async_context(opened(path)) for _ in range(8)]
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                for state in states:
                    tasks.start_soon(state.update, "o", "k", increment)
                await anyio.wait_all_tasks_blocked()
                other.execute("ROLLBACK")

        assert await states[0].values("o") == {"k": b"8"}


@pytest.mark.parametrize("deed", ["update", "erase"])
async def test_a_file_that_was_deleted_while_in_use_is_told_once_and_made_anew(path: Path, deed: str) -> None:
    async with opened(path) as state:
        await state.update("o", "k", increment)
        delete(path)
        with pytest.raises(StoreUnavailable):
            await (state.update("o", "k", increment) if deed == "update" else state.erase("o"))

        assert await state.update("o", "k", increment) == 1
    assert ask(path, "SELECT key FROM state") == [("k",)]


async def test_a_damaged_file_is_corrupt(path: Path) -> None:
    async with opened(path) as state:
        for n in range(50):
            await state.update("o", f"k{n}", put(b"x" * 3000))
    damaged = content(path)
    damaged[2 * 4096 :] = b"\xaa" * (len(damaged) - 2 * 4096)
    overwrite(path, damaged)

    async with opened(path) as state:
        with pytest.raises(StoreCorrupt):
            await state.values("o")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.ProgrammingError("odd"), StoreError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), StoreCorrupt),
    ],
)
def test_other_errors_have_a_meaning(error: sqlite3.Error | UnicodeDecodeError, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "here")) is kind


async def test_an_error_of_sqlite_raised_by_a_change_is_the_changes_own(path: Path) -> None:
    error = sqlite3.OperationalError("mine")

    def change(_: bytes | None, __: float) -> Changed[None]:
        raise error

    async with opened(path) as state:
        with pytest.raises(sqlite3.OperationalError) as caught:
            await state.update("o", "k", change)

    assert caught.value is error


async def test_a_state_that_nobody_closed_ends_its_thread(path: Path) -> None:
    state = SQLiteState(path)
    await state.update("o", "k", increment)
    (thread,) = (each for each in threading.enumerate() if each.name == "assistant_kit-state-sqlite")
    del state
    gc.collect()

    await anyio.to_thread.run_sync(thread.join, 30)
    assert not thread.is_alive()

"""What a tool may do in the journal's transaction, and what it may not, also when nobody waits for it any more."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import ConversationConflict, StoreBusy, StoreError, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.stores.sqlite.files import full_disk, write_lock

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO orders VALUES (?)"


@pytest.fixture
async def user(tmp_path: Path) -> AsyncIterator[UserStore]:
    store = SQLiteStore(tmp_path / "chat.db")
    yield store.for_user("u")
    with anyio.fail_after(30):
        await store.aclose()


@pytest.fixture
async def lease(user: UserStore) -> Lease:
    lease = await user.claim("c", owner="w", ttl=60)

    async def make_table(connection: sqlite3.Connection) -> Append:
        connection.execute("CREATE TABLE orders (id)")
        return writing(lease, 0)

    await user.transact(lease, make_table)
    return lease


def writing(lease: Lease, at: int, *record_ids: str) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=b"x", tokens=1) for record_id in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


def working(work: Callable[[sqlite3.Connection], object], write: Append) -> Callable[[Any], Awaitable[Append]]:
    async def run(connection: sqlite3.Connection) -> Append:
        work(connection)
        return write

    return run


def orders(folder: Path) -> list[object]:
    with closing(sqlite3.connect(folder / "chat.db")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM orders ORDER BY id")]


async def ids(user: UserStore) -> list[str]:
    return [record.record_id for record in await user.read("c")]


async def test_all_that_a_connection_does_can_be_done(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    seen: list[object] = []

    def work(connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        connection.executemany(INSERT, ((n,) for n in range(5)))
        cursor = connection.cursor()
        cursor.execute("SAVEPOINT mine")
        cursor.execute(INSERT, (99,))
        cursor.execute("ROLLBACK TO mine")
        cursor.execute("RELEASE mine")
        cursor.execute("SELECT id FROM orders ORDER BY id")
        seen.append(tuple(cursor.fetchone()))
        seen.append([tuple(row) for row in cursor.fetchmany()])
        seen.append([tuple(row) for row in cursor.fetchmany(2)])
        seen.append([tuple(row) for row in cursor.fetchall()])
        seen.append([row["id"] for row in connection.execute("SELECT id FROM orders WHERE id > :n", {"n": 3})])

    with anyio.fail_after(30):
        await user.transact(lease, working(work, writing(lease, 0, "a")))

    assert seen == [(0,), [(1,)], [(2,), (3,)], [(4,)], [4]]
    assert orders(tmp_path) == [0, 1, 2, 3, 4]
    assert await ids(user) == ["a"]


ENDS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "with": lambda connection: connection.__enter__(),
    "COMMIT": lambda connection: connection.execute("COMMIT"),
    "END": lambda connection: connection.execute("end transaction"),
    "ROLLBACK": lambda connection: connection.cursor().execute("ROLLBACK"),
    "BEGIN": lambda connection: connection.execute("BEGIN"),
    "script": lambda connection: connection.executescript("DELETE FROM orders"),
    "script by a cursor": lambda connection: connection.cursor().executescript("DELETE FROM orders"),
    "blob": lambda connection: connection.blobopen("orders", "id", 1),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_tool_cannot_end_the_transaction(
    user: UserStore, lease: Lease, tmp_path: Path, end: Callable[[sqlite3.Connection], object]
) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, (1,))
        with pytest.raises(sqlite3.DatabaseError):
            end(connection)
        connection.execute(INSERT, (2,))

    with anyio.fail_after(30), pytest.raises(ConversationConflict):
        await user.transact(lease, working(work, writing(lease, 7, "wrong place")))
    assert orders(tmp_path) == []

    await user.transact(lease, working(work, writing(lease, 0, "a")))
    assert orders(tmp_path) == [1, 2]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT body FROM records",
        "SELECT count(*) FROM conversations",
        "UPDATE conversations SET fence = 0",
        "DELETE FROM audit",
        "DROP TABLE chains",
        "ALTER TABLE store ADD COLUMN x",
        "CREATE INDEX i ON segments (base)",
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON records BEGIN SELECT 1; END",
        "INSERT INTO orders SELECT body FROM records",
    ],
)
async def test_a_tool_does_not_reach_the_tables_of_the_store(user: UserStore, lease: Lease, statement: str) -> None:
    await user.append(writing(lease, 0, "a"))

    with anyio.fail_after(30), pytest.raises(sqlite3.DatabaseError):
        await user.transact(
            lease, working(lambda connection: connection.execute(statement).fetchall(), writing(lease, 1, "b"))
        )

    assert await ids(user) == ["a"]


async def test_what_was_lent_is_closed_afterwards(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    kept: list[Any] = []

    def work(connection: sqlite3.Connection) -> None:
        kept.extend([connection, connection.cursor(), connection.execute("SELECT 1")])

    with anyio.fail_after(30):
        await user.transact(lease, working(work, writing(lease, 0, "a")))

    connection, cursor, selected = kept
    for use, arguments in (
        (connection.execute, (INSERT, (1,))),
        (cursor.execute, (INSERT, (1,))),
        (cursor.executemany, (INSERT, [(1,)])),
        (connection.cursor, ()),
        (selected.fetchall, ()),
    ):
        with pytest.raises(sqlite3.ProgrammingError):
            use(*arguments)
    assert orders(tmp_path) == []


async def test_a_thread_that_outlives_its_cancellation_writes_nowhere(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    wrote, cancelled, tried = threading.Event(), threading.Event(), threading.Event()
    outcomes: list[object] = []

    def tool(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, ("before",))
        cursor = connection.cursor()
        wrote.set()
        assert cancelled.wait(30)
        for use in (connection.execute, cursor.execute):
            try:
                outcomes.append(use(INSERT, ("late",)))
            except sqlite3.ProgrammingError as error:
                outcomes.append(type(error))
        tried.set()

    async def work(connection: sqlite3.Connection) -> Append:
        await anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True)
        return writing(lease, 0, "never")

    async def other(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, ("other",))
        cancelled.set()  # the late one tries while another transaction is under way
        assert await anyio.to_thread.run_sync(tried.wait, 30)
        return writing(lease, 0, "a")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.transact, lease, work)
            assert await anyio.to_thread.run_sync(wrote.wait, 30)
            tasks.cancel_scope.cancel()
        await user.transact(lease, other)

    assert outcomes == [sqlite3.ProgrammingError] * 2
    assert orders(tmp_path) == ["other"]
    assert await ids(user) == ["a"]


async def test_a_late_thread_writes_nothing_into_the_transaction_that_is_being_committed(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    begun, stop = threading.Event(), threading.Event()
    numbers: list[int] = []

    def tool(connection: sqlite3.Connection) -> None:
        while not stop.is_set():
            try:
                connection.executemany(INSERT, [(len(numbers),)] * 2)
            except sqlite3.ProgrammingError:
                return
            numbers.append(len(numbers))
            begun.set()

    async def work(connection: sqlite3.Connection) -> Append:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True))
                assert await anyio.to_thread.run_sync(begun.wait, 30)
                scope.cancel()
        count = len(await ids(user))
        return writing(lease, count, f"r{count}")

    with anyio.fail_after(60):
        for _ in range(10):
            begun.clear()
            await user.transact(lease, work)
    stop.set()

    assert await ids(user) == [f"r{n}" for n in range(10)]
    # Each statement took place as a whole, before the write, or not at all.
    found = orders(tmp_path)
    assert len(found) % 2 == 0
    assert found[::2] == found[1::2]


async def test_a_statement_that_runs_when_its_task_is_cancelled_is_undone(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    long = """
        INSERT INTO orders WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200000)
        SELECT x FROM n
    """
    running = threading.Event()

    def tool(connection: sqlite3.Connection) -> None:
        running.set()
        connection.execute(long)

    async def work(connection: sqlite3.Connection) -> Append:
        await anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True)
        return writing(lease, 0, "never")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.transact, lease, work)
            assert await anyio.to_thread.run_sync(running.wait, 30)
            tasks.cancel_scope.cancel()
        await user.append(writing(lease, 0, "a"))

    assert orders(tmp_path) == []
    assert await ids(user) == ["a"]


async def test_cancellation_after_the_work_comes_too_late(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    with anyio.fail_after(30), anyio.CancelScope() as scope:

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(INSERT, (1,))
            scope.cancel()

        await user.transact(lease, working(work, writing(lease, 0, "a")))

    assert orders(tmp_path) == [1]
    assert await ids(user) == ["a"]


async def test_a_transaction_that_is_cancelled_in_the_queue_never_begins(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    begun: list[sqlite3.Connection] = []

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(user.transact, lease, working(begun.append, writing(lease, 0, "never")))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        await user.append(writing(lease, 0, "a"))

    assert begun == []
    assert await ids(user) == ["a"]


async def test_other_writes_wait_for_a_transaction_and_reads_do_not(user: UserStore, lease: Lease) -> None:
    other = await user.claim("other", owner="w", ttl=60)
    order: list[str] = []
    at_work = anyio.Event()

    async def append() -> None:
        await at_work.wait()
        await user.append(writing(other, 0, "a"))
        order.append("append")

    async def work(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        at_work.set()
        await anyio.wait_all_tasks_blocked()
        assert await ids(user) == []
        order.append("work")
        return writing(lease, 0, "a")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append)
            await user.transact(lease, work)

    assert order == ["work", "append"]


async def test_writers_of_other_processes_find_a_transaction_busy(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    elsewhere = SQLiteStore(tmp_path / "chat.db", busy_timeout=0.05)

    async def work(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        with pytest.raises(StoreBusy):
            await elsewhere.for_user("u").claim("c", owner="w2", ttl=60)
        return writing(lease, 0, "a")

    with anyio.fail_after(30):
        await user.transact(lease, work)
        await elsewhere.aclose()

    assert await ids(user) == ["a"]


async def test_a_transaction_that_cannot_begin_is_busy_and_its_work_is_not_done(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", busy_timeout=0.05)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    begun: list[sqlite3.Connection] = []

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"), pytest.raises(StoreBusy):
            await user.transact(lease, working(begun.append, writing(lease, 0, "a")))
        assert begun == []
        await user.transact(lease, working(begun.append, writing(lease, 0, "a")))
        await store.aclose()

    assert len(begun) == 1


async def test_work_that_would_wait_for_itself_is_told(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    async def write_otherwise(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        await user.append(writing(lease, 0, "a"))
        raise AssertionError

    async def transact_again(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        await user.transact(lease, working(lambda _: None, writing(lease, 0, "a")))
        raise AssertionError

    async def erase(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        await user.erase()
        raise AssertionError

    with anyio.fail_after(30):
        for work in (write_otherwise, transact_again, erase):
            with pytest.raises(StoreError):
                await user.transact(lease, work)
        await user.append(writing(lease, 0, "a"))

    assert orders(tmp_path) == []
    assert await ids(user) == ["a"]


async def test_work_may_write_to_another_store(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    other = SQLiteStore(tmp_path / "other.db")

    async def work(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        theirs = await other.for_user("u").claim("c", owner="w", ttl=60)
        await other.for_user("u").append(writing(theirs, 0, "a"))
        return writing(lease, 0, "a")

    with anyio.fail_after(30):
        await user.transact(lease, work)
        assert await ids(other.for_user("u")) == ["a"]
        await other.aclose()


async def test_a_task_that_was_begun_in_a_transaction_writes_when_it_is_over(user: UserStore, lease: Lease) -> None:
    over = anyio.Event()

    async def append_later() -> None:
        await over.wait()
        await user.append(writing(lease, 1, "b"))

    async def work(connection: sqlite3.Connection) -> Append:
        connection.execute(INSERT, (1,))
        tasks.start_soon(append_later)
        return writing(lease, 0, "a")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await user.transact(lease, work)
            over.set()

    assert await ids(user) == ["a", "b"]


async def test_a_commit_that_fails_undoes_the_work(user: UserStore, lease: Lease, tmp_path: Path) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, ("x" * 400_000,))

    with anyio.fail_after(30):
        with full_disk(200_000), pytest.raises(StoreUnavailable):
            await user.transact(lease, working(work, writing(lease, 0, "a")))
        assert await ids(user) == []
        await user.transact(lease, working(work, writing(lease, 0, "a")))

    assert orders(tmp_path) == ["x" * 400_000]
    assert await ids(user) == ["a"]


async def test_an_error_of_a_tools_own_statement_is_its_own(user: UserStore, lease: Lease) -> None:
    with anyio.fail_after(30), pytest.raises(sqlite3.OperationalError) as caught:
        await user.transact(
            lease, working(lambda connection: connection.execute("SELECT nonsense"), writing(lease, 0, "a"))
        )

    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_ERROR


async def test_a_result_that_was_not_read_to_its_end_does_not_keep_a_commit_back(
    user: UserStore, lease: Lease, tmp_path: Path
) -> None:
    kept: list[sqlite3.Cursor] = []

    def work(connection: sqlite3.Connection) -> None:
        kept.append(connection.execute("INSERT INTO orders VALUES (1), (2) RETURNING id"))
        assert kept[0].fetchone() == (1,)

    with anyio.fail_after(30):
        await user.transact(lease, working(work, writing(lease, 0, "a")))

    assert orders(tmp_path) == [1, 2]

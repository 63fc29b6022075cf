"""A transaction that somebody's tool takes part in, and what becomes of a tool that does not let go of it."""

import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from assistant_kit.errors import LeaseLost, StoreError, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, UserStore
from assistant_kit.stores.postgres import PostgresStore, Timeouts
from tests.stores.postgres.writing import ids, write

pytestmark = pytest.mark.anyio

Work = Callable[[psycopg.Connection], Awaitable[Append]]


@pytest.fixture
def letters(schema: str, admin: psycopg.Connection) -> str:
    """A table of the application."""
    admin.execute(f"CREATE TABLE letters_{schema} (body text)".encode())
    return f"letters_{schema}"


@pytest.fixture
async def lease(user: UserStore) -> Lease:
    return await user.claim("c", owner="w", ttl=600)


@pytest.fixture
def user(store: PostgresStore) -> UserStore:
    return store.for_user("u")


def insert(connection: psycopg.Connection, letters: str) -> None:
    connection.execute(SQL("INSERT INTO {} VALUES ('a')").format(Identifier(letters)))


def count(admin: psycopg.Connection, letters: str) -> int:
    row = admin.execute(SQL("SELECT count(*) FROM {}").format(Identifier(letters))).fetchone()
    assert row
    return row[0]


async def test_the_connection_is_of_no_use_when_the_transaction_is_over(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    kept: list[psycopg.Connection] = []

    async def work(connection: psycopg.Connection) -> Append:
        kept.append(connection)
        insert(connection, letters)
        return write(lease, 0, "a")

    await user.transact(lease, work)

    with pytest.raises(psycopg.OperationalError):
        insert(kept[0], letters)
    assert count(admin, letters) == 1


async def test_a_tool_that_outlives_its_cancellation_writes_nothing(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    at_work = anyio.Event()
    go_on = threading.Event()
    ended: list[BaseException | None] = []
    over = threading.Event()

    def tool(connection: psycopg.Connection) -> None:
        try:
            insert(connection, letters)
            anyio.from_thread.run_sync(at_work.set)
            go_on.wait(30)
            insert(connection, letters)
            connection.commit()
            ended.append(None)
        except psycopg.Error as error:
            ended.append(error)
        finally:
            over.set()

    async def work(connection: psycopg.Connection) -> Append:
        await anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True)
        return write(lease, 0, "a")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.transact, lease, work)
            await at_work.wait()
            tasks.cancel_scope.cancel()
        go_on.set()
        await anyio.to_thread.run_sync(over.wait, 30)

    assert isinstance(ended[0], psycopg.OperationalError)
    assert count(admin, letters) == 0
    assert await ids(user, "c") == []


async def test_a_statement_that_runs_while_its_task_is_cancelled_is_broken_off(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    at_work = anyio.Event()
    pids: list[int] = []
    over = threading.Event()
    ended: list[BaseException] = []

    def tool(connection: psycopg.Connection) -> None:
        try:
            slow = SQL("WITH w AS (INSERT INTO {} VALUES ('a')) SELECT pg_sleep(25)")
            connection.execute(slow.format(Identifier(letters)))
        except psycopg.Error as error:
            ended.append(error)
        over.set()

    async def work(connection: psycopg.Connection) -> Append:
        pids.append(connection.info.backend_pid)
        at_work.set()
        await anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True)
        return write(lease, 0, "a")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.transact, lease, work)
            await at_work.wait()
            await anyio.to_thread.run_sync(until, admin, pids[0], "active")
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(over.wait, 20)

    assert isinstance(ended[0], psycopg.OperationalError)
    assert count(admin, letters) == 0


def until(admin: psycopg.Connection, pid: int, state: str | None) -> None:
    """Ask until a session is in a state, or until it is there no more."""
    ask = "SELECT max(state) FROM pg_stat_activity WHERE pid = %s"
    while admin.execute(ask, [pid]).fetchone() != (state,):
        pass


def until_closed(connection: psycopg.Connection) -> None:
    while not connection.closed:
        pass


async def test_a_tool_that_does_not_let_go_of_the_connection_holds_nobody_up(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    at_work = anyio.Event()
    let_go = threading.Event()
    kept: list[psycopg.Connection] = []

    def tool(connection: psycopg.Connection) -> None:
        kept.append(connection)
        insert(connection, letters)
        with connection.lock:
            anyio.from_thread.run_sync(at_work.set)
            let_go.wait(30)

    async def work(connection: psycopg.Connection) -> Append:
        await anyio.to_thread.run_sync(tool, connection, abandon_on_cancel=True)
        return write(lease, 0, "a")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.transact, lease, work)
            await at_work.wait()
            tasks.cancel_scope.cancel()
        let_go.set()
        await anyio.to_thread.run_sync(until_closed, kept[0])

    assert count(admin, letters) == 0


async def test_work_that_hangs_holds_nobody_up_and_is_undone_by_the_server(
    postgres_url: str, schema: str, letters: str, admin: psycopg.Connection
) -> None:
    store = PostgresStore(postgres_url, schema=schema, connections=2, timeouts=Timeouts(idle=0.2))
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=600)
    hanging = anyio.Event()

    async def work(connection: psycopg.Connection) -> Append:
        insert(connection, letters)
        pid = connection.info.backend_pid
        await user.renew(lease, ttl=600)
        hanging.set()
        await anyio.to_thread.run_sync(until, admin, pid, None)
        return write(lease, 0, "a")

    with anyio.fail_after(30):
        with pytest.raises(StoreUnavailable):
            await user.transact(lease, work)
        assert hanging.is_set()
        await user.append(write(lease, 0, "b"))

    assert count(admin, letters) == 0
    assert await ids(user, "c") == ["b"]
    await store.aclose()


async def test_a_failed_statement_that_the_work_has_swallowed_undoes_all(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    async def work(connection: psycopg.Connection) -> Append:
        insert(connection, letters)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        return write(lease, 0, "a")

    with anyio.fail_after(30), pytest.raises(StoreError):
        await user.transact(lease, work)

    assert count(admin, letters) == 0
    assert await ids(user, "c") == []


async def test_a_transaction_without_a_server_is_unavailable(
    user: UserStore, lease: Lease, admin: psycopg.Connection
) -> None:
    async def work(connection: psycopg.Connection) -> Append:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        return write(lease, 0, "a")

    with anyio.fail_after(30), pytest.raises(StoreUnavailable):
        await user.transact(lease, work)

    await user.append(write(lease, 0, "a"))


async def test_the_journal_and_the_applications_tables_change_together(
    user: UserStore, lease: Lease, letters: str, admin: psycopg.Connection
) -> None:
    async def work(connection: psycopg.Connection) -> Append:
        insert(connection, letters)
        return write(lease, 0, "a")

    await user.release(lease)
    with pytest.raises(LeaseLost):
        await user.transact(lease, work)
    assert count(admin, letters) == 0


async def test_a_transaction_learns_that_an_audit_log_is_kept(
    postgres_url: str, schema: str, user: UserStore, lease: Lease
) -> None:
    audited = PostgresStore(postgres_url, schema=schema, connections=2, audit=True)
    await audited.open()
    await audited.aclose()

    async def work(_: psycopg.Connection) -> Append:
        return write(lease, 0, "a")

    await user.transact(lease, work)

    assert [link.n for link in await user.audit_log()] == [1]
    assert await ids(user, "c") == ["a"]

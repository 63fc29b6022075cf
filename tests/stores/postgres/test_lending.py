"""A connection that is lent again: to whom nobody else can speak, and in which nothing was left."""

import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import psycopg
import pytest
from psycopg.rows import TupleRow, dict_row

from assistant_kit.errors import ConversationConflict, StoreError, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, UserStore
from assistant_kit.stores.postgres import PostgresStore, Timeouts
from tests.stores.postgres.writing import ids, write

pytestmark = pytest.mark.anyio

Work = Callable[[psycopg.Connection], Any]


class Transactions:
    """One transaction after another in a conversation, each in a thread as tools have it."""

    def __init__(self, user: UserStore, lease: Lease) -> None:
        self.user = user
        self.lease = lease
        self.seq = 0

    async def do(self, work: Work) -> Any:
        """Return what `work` does in a transaction."""
        done: list[object] = []

        async def run(connection: psycopg.Connection) -> Append:
            done.append(await anyio.to_thread.run_sync(work, connection))
            return write(self.lease, self.seq, f"r{self.seq}")

        with anyio.fail_after(30):
            await self.user.transact(self.lease, run)
        self.seq += 1
        return done[0]

    async def session(self) -> int:
        """Return the number of the server's process behind a transaction."""
        return await self.do(lambda connection: connection.info.backend_pid)


@pytest.fixture
def url(postgres_url: str, schema: str) -> str:
    """The server, with a name by which it knows the sessions of a test."""
    return f"{postgres_url}?application_name={schema}"


async def opened(store: PostgresStore) -> Transactions:
    user = store.for_user("u")
    return Transactions(user, await user.claim("c", owner="w", ttl=600))


@pytest.fixture
async def transactions(url: str, schema: str) -> AsyncIterator[Transactions]:
    store = PostgresStore(url, schema=schema, connections=2)
    yield await opened(store)
    with anyio.fail_after(30):
        await store.aclose()


def sessions(admin: psycopg.Connection, schema: str) -> int:
    row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [schema]).fetchone()
    assert row
    return row[0]


async def until_sessions(admin: psycopg.Connection, schema: str, wanted: int) -> None:
    while sessions(admin, schema) != wanted:
        await anyio.lowlevel.checkpoint()


def asked(connection: psycopg.Connection, question: str) -> Any:
    """Return what there is; for what is not there, the code of the error."""
    try:
        with connection.transaction():
            return connection.execute(question.encode()).fetchall()
    except psycopg.Error as error:
        return error.sqlstate


def does(connection: psycopg.Connection, statement: bytes) -> None:
    connection.execute(statement)


LEFT: dict[str, tuple[str, str]] = {
    "a temporary table": ("CREATE TEMP TABLE t AS SELECT 1", "SELECT * FROM t"),
    "a search path": ("SET search_path TO pg_catalog", "SHOW search_path"),
    "a setting": ("SET statement_timeout = '1h'", "SHOW statement_timeout"),
    "a limit of transactions": ("SET lock_timeout = 0", "SHOW lock_timeout"),
    "a setting of plans": ("SET plan_cache_mode = auto", "SHOW plan_cache_mode"),
    "a setting of durability": ("SET synchronous_commit = local", "SHOW synchronous_commit"),
    "a setting of the application": (
        "SELECT set_config('app.tenant', 'ann', false)",
        "SELECT coalesce(current_setting('app.tenant', true), '')",
    ),
    "a role": ("SET ROLE {role}", "SELECT current_user::text"),
    "an authorization": ("SET SESSION AUTHORIZATION {role}", "SELECT session_user::text, current_user::text"),
    "a prepared statement": ("PREPARE p AS SELECT 1", "EXECUTE p"),
    "a cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "FETCH c"),
    "a channel": ("LISTEN c", "SELECT * FROM pg_listening_channels()"),
    "a lock": (
        "SELECT pg_advisory_lock(7)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    ),
    "a sequence": (
        "CREATE TEMP SEQUENCE s; SELECT nextval('s')",
        "SELECT lastval()",
    ),
    "a name": ("SET application_name = 'mine'", "SHOW application_name"),
    "an isolation": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SHOW default_transaction_isolation",
    ),
}


@pytest.fixture
def role(schema: str, admin: psycopg.Connection) -> Iterator[str]:
    admin.execute(f"CREATE ROLE {schema} SUPERUSER".encode())
    yield schema
    admin.execute(f"DROP ROLE {schema}".encode())


async def test_nothing_is_left_of_what_a_borrower_did_to_its_session(transactions: Transactions, role: str) -> None:
    first = await transactions.session()
    for what, (deed, question) in LEFT.items():
        statement = deed.format(role=role).encode()
        before = await transactions.do(partial(asked, question=question))
        await transactions.do(partial(does, statement=statement))
        after = await transactions.do(partial(asked, question=question))
        assert after == before, what

    assert await transactions.session() == first


async def test_what_the_store_has_set_stays(transactions: Transactions) -> None:
    def settings(connection: psycopg.Connection) -> TupleRow | None:
        return connection.execute(
            "SELECT current_setting('transaction_timeout', true), "
            "current_setting('idle_in_transaction_session_timeout')"
        ).fetchone()

    first = await transactions.do(settings)
    assert first is not None
    assert first[1] == "1min"
    assert await transactions.do(settings) == first


async def test_a_connection_is_as_psycopg_makes_it(transactions: Transactions) -> None:
    def change(connection: psycopg.Connection[Any]) -> None:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.row_factory = dict_row
        connection.add_notice_handler(print)
        assert connection.execute("SELECT 1 AS a, current_setting('transaction_isolation') AS b").fetchone() == {
            "a": 1,
            "b": "serializable",
        }

    def isolation(connection: psycopg.Connection) -> Any:
        return connection.execute("SHOW transaction_isolation").fetchone()

    await transactions.do(change)
    assert await transactions.do(isolation) == ("read committed",)
    assert await ids(transactions.user, "c") == ["r0", "r1"]


async def test_what_was_lent_does_nothing_in_the_transaction_of_another(transactions: Transactions) -> None:
    kept: list[psycopg.Connection] = []

    def keep(connection: psycopg.Connection) -> int:
        kept.append(connection)
        connection.execute("SELECT 1")
        return connection.info.backend_pid

    def meddle(connection: psycopg.Connection) -> int:
        assert kept[0].closed
        for use in (lambda: kept[0].execute("SELECT 1"), kept[0].cursor, lambda: kept[0].notifies().__next__()):
            with pytest.raises(psycopg.OperationalError):
                use()
        kept[0].close()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        return connection.info.backend_pid

    assert await transactions.do(keep) == await transactions.do(meddle)


REACHED: dict[str, Callable[[psycopg.Connection], object]] = {
    "a cursor": lambda connection: connection.cursor(),
    "what is beneath": lambda connection: connection.pgconn,
}


@pytest.mark.parametrize("reached", REACHED)
async def test_a_session_that_somebody_can_still_reach_is_closed(transactions: Transactions, reached: str) -> None:
    first = await transactions.session()
    kept = await transactions.do(REACHED[reached])

    assert await transactions.session() != first
    with pytest.raises(psycopg.OperationalError):
        kept.execute("SELECT 1") if reached == "a cursor" else kept.exec_(b"SELECT 1")


async def test_a_savepoint_of_the_work_commits_nothing(transactions: Transactions) -> None:
    def work(connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute("CREATE TABLE not_to_be (x integer)")
        with connection.transaction():
            connection.execute("INSERT INTO not_to_be VALUES (1)")
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await transactions.do(work)

    found = await transactions.do(lambda connection: connection.execute("SELECT to_regclass('not_to_be')").fetchone())
    assert found == (None,)


ENDS: dict[str, Work] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "with": lambda connection: connection.__exit__(None, None, None),
    "autocommit": lambda connection: setattr(connection, "autocommit", True),
}


@pytest.mark.parametrize("end", ENDS)
async def test_the_work_cannot_end_the_transaction(transactions: Transactions, end: str) -> None:
    def work(connection: psycopg.Connection) -> None:
        with pytest.raises(psycopg.ProgrammingError):
            ENDS[end](connection)
        connection.execute("SELECT 1")

    await transactions.do(work)


async def test_a_session_is_not_lent_again_when_its_transaction_has_failed(transactions: Transactions) -> None:
    first = await transactions.session()
    transactions.seq += 5
    with pytest.raises(ConversationConflict):
        await transactions.session()
    transactions.seq -= 5

    assert await transactions.session() != first


async def test_what_is_left_open_is_told_and_closed(transactions: Transactions) -> None:
    held: list[object] = []

    def work(connection: psycopg.Connection) -> None:
        pipeline = connection.pipeline()
        held.append(pipeline)
        pipeline.__enter__()

    first = await transactions.session()
    with pytest.raises(StoreError):
        await transactions.do(work)

    assert await transactions.session() != first
    with pytest.raises(psycopg.OperationalError):
        held.pop().__exit__(None, None, None)  # type: ignore[attr-defined]


async def test_a_commit_that_is_refused_is_told(transactions: Transactions) -> None:
    deferred = "CREATE TEMP TABLE t (x integer UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1), (1)"

    first = await transactions.session()
    with pytest.raises(StoreError):
        await transactions.do(partial(does, statement=deferred.encode()))

    assert await transactions.session() != first
    assert await ids(transactions.user, "c") == ["r0", "r1"]


async def test_a_session_that_the_server_has_ended_is_not_lent(
    transactions: Transactions, admin: psycopg.Connection
) -> None:
    first = await transactions.session()
    admin.execute("SELECT pg_terminate_backend(%s, 10000)", [first])

    assert await transactions.session() != first


async def test_no_more_sessions_are_kept_than_there_are_writers(
    url: str, schema: str, admin: psycopg.Connection
) -> None:
    store = PostgresStore(url, schema=schema, connections=4)
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=600) for n in range(5)]
    await store.open()  # perhaps by another of its connections
    before = sessions(admin, schema)
    here = [anyio.Event() for _ in leases]

    async def transact(n: int) -> None:
        async def work(_: psycopg.Connection) -> Append:
            here[n].set()
            for other in here:
                await other.wait()
            return write(leases[n], 0, "a")

        await user.transact(leases[n], work)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for n in range(len(leases)):
                tasks.start_soon(transact, n)
        await until_sessions(admin, schema, before + 2)
        await store.aclose()
        await until_sessions(admin, schema, 0)
        with pytest.raises(StoreUnavailable):
            await transact(0)


async def test_a_store_that_was_dropped_closes_what_it_has_kept(
    url: str, schema: str, admin: psycopg.Connection
) -> None:
    transactions = await opened(PostgresStore(url, schema=schema, connections=2))
    await transactions.session()

    del transactions
    gc.collect()
    with anyio.fail_after(30):
        await until_sessions(admin, schema, 0)


async def test_a_thread_that_does_not_let_go_undoes_the_work(url: str, schema: str) -> None:
    store = PostgresStore(url, schema=schema, connections=2, timeouts=Timeouts(statement=0.2, network=0.1))
    transactions = await opened(store)
    let_go = threading.Event()
    over = threading.Event()

    def hold(connection: psycopg.Connection, held: threading.Event) -> None:
        with connection.lock:
            held.set()
            let_go.wait(30)
        over.set()

    def work(connection: psycopg.Connection) -> None:
        held = threading.Event()
        threading.Thread(target=hold, args=(connection, held), daemon=True).start()
        held.wait(30)

    with pytest.raises(StoreUnavailable):
        await transactions.do(work)
    let_go.set()
    await anyio.to_thread.run_sync(over.wait, 30)

    await transactions.session()
    await store.aclose()

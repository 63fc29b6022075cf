"""A connection that is lent again: to whom nobody else can speak, and on which nobody has left anything."""

import sqlite3
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.sqlite import SQLiteStore, journal
from tests.stores.sqlite.files import names

pytestmark = pytest.mark.anyio

Work = Callable[[sqlite3.Connection], object]


class Transactions:
    """One transaction after another in a conversation."""

    def __init__(self, user: UserStore, lease: Lease) -> None:
        self.user = user
        self.lease = lease
        self.seq = 0

    async def do(self, work: Work) -> Any:
        """Return what `work` does in a transaction."""
        done: list[object] = []
        record = NewRecord(record_id=f"r{self.seq}", kind="k", body=b"x", tokens=1)

        async def run(connection: sqlite3.Connection) -> Append:
            done.append(work(connection))
            return Append(lease=self.lease, expected_seq=self.seq, records=[record], state="open", open_turn=1)

        with anyio.fail_after(30):
            await self.user.transact(self.lease, run)
        self.seq += 1
        return done[0]

    async def is_lent_again(self) -> bool:
        """Tell whether the next transaction has a connection by which something was written before."""
        return await self.do(lambda connection: connection.total_changes > 0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "chat.db")
    yield store
    with anyio.fail_after(30):
        await store.aclose()


@pytest.fixture
async def transactions(store: SQLiteStore) -> Transactions:
    user = store.for_user("u")
    transactions = Transactions(user, await user.claim("c", owner="w", ttl=60))
    await transactions.do(lambda connection: connection.execute("CREATE TABLE orders (id)").close())
    return transactions


async def test_what_nobody_has_in_hand_is_lent_again(transactions: Transactions) -> None:
    def work(connection: sqlite3.Connection) -> list[Any]:
        cursor = connection.cursor()
        cursor.executemany("INSERT INTO orders VALUES (?)", [(1,), (2,)])
        connection.execute("SELECT id FROM orders").fetchone()
        assert connection.in_transaction
        return connection.execute("SELECT id FROM orders").fetchall()

    assert await transactions.is_lent_again()
    await transactions.do(work)
    assert await transactions.is_lent_again()


KEPT: dict[str, Callable[[sqlite3.Connection], object]] = {
    "the connection": lambda connection: connection,
    "a cursor": lambda connection: connection.cursor(),
    "a cursor of sqlite3's own": sqlite3.Cursor,
    "a result": lambda connection: connection.execute("SELECT 1"),
    "a method": lambda connection: connection.execute,
    "a weak reference": weakref.ref,
}


@pytest.mark.parametrize("kept", KEPT)
async def test_what_somebody_has_in_hand_is_not_lent_again(transactions: Transactions, kept: str) -> None:
    in_hand = await transactions.do(KEPT[kept])

    assert not await transactions.is_lent_again()
    assert in_hand is not None


TRACES: dict[str, Work] = {
    "a temporary table": lambda connection: connection.execute("CREATE TEMP TABLE t (x)").close(),
    "a table by the name of temp": lambda connection: connection.execute("CREATE TABLE temp.t (x)").close(),
    "a temporary view": lambda connection: connection.execute("CREATE TEMP VIEW v AS SELECT 1").close(),
    "a temporary trigger": lambda connection: connection.execute(
        "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN SELECT 1; END"
    ).close(),
    "a setting": lambda connection: connection.execute("PRAGMA recursive_triggers = ON").close(),
    "another file": lambda connection: connection.execute("ATTACH ':memory:' AS other").close(),
    "a function": lambda connection: connection.create_function("f", 0, int),
    "a collation": lambda connection: connection.create_collation("c", lambda a, b: (a > b) - (a < b)),
    "a hook": lambda connection: connection.set_progress_handler(lambda: 0, 1000),
    "a limit": lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 1),
    "an authorizer": lambda connection: connection.set_authorizer(None),
    "an isolation level": lambda connection: setattr(connection, "isolation_level", "DEFERRED"),
    "an attribute": lambda connection: setattr(connection, "mine", 1),
}


@pytest.mark.parametrize("trace", TRACES)
async def test_what_somebody_has_changed_is_not_lent_again(transactions: Transactions, trace: str) -> None:
    await transactions.do(TRACES[trace])

    assert not await transactions.is_lent_again()
    assert await transactions.is_lent_again()


async def test_factories_are_set_back(transactions: Transactions) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes

    await transactions.do(work)

    selected = await transactions.do(lambda connection: connection.execute("SELECT 'a'").fetchall())
    assert selected == [("a",)]
    assert type(selected[0]) is tuple
    assert await transactions.is_lent_again()


async def test_the_tables_of_the_store_stay_out_of_reach(transactions: Transactions) -> None:
    for _ in range(3):
        with pytest.raises(sqlite3.DatabaseError):
            await transactions.do(lambda connection: connection.execute("SELECT fence, seq FROM conversations").close())
    assert not await transactions.is_lent_again()
    assert await transactions.is_lent_again()
    # The very statement that the store has prepared on this connection.
    advance = vars(journal)["_ADVANCE"]
    with pytest.raises(sqlite3.DatabaseError) as caught:
        await transactions.do(lambda connection: connection.execute(advance, (0,) * 9).fetchall())
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_AUTH


async def test_a_connection_is_not_lent_again_when_its_work_has_failed(transactions: Transactions) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO orders VALUES (1)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await transactions.do(fail)

    assert not await transactions.is_lent_again()
    assert await transactions.do(lambda connection: connection.execute("SELECT id FROM orders").fetchall()) == []


async def test_a_file_that_was_replaced_between_two_transactions_is_used_by_the_second(
    transactions: Transactions, tmp_path: Path
) -> None:
    path, other = tmp_path / "chat.db", tmp_path / "other.db"
    with sqlite3.connect(path) as here:
        here.execute(f"VACUUM INTO '{other}'")
    here.close()
    await transactions.do(lambda connection: connection.execute("INSERT INTO orders VALUES ('lost')").close())
    transactions.seq -= 1  # it is not in the copy

    for suffix in ("-wal", "-shm"):
        (tmp_path / f"chat.db{suffix}").unlink()
    other.replace(path)
    found = await transactions.do(lambda connection: connection.execute("SELECT id FROM orders").fetchall())

    assert found == []


async def test_an_erasure_goes_on_beside_the_connection_that_is_kept(transactions: Transactions) -> None:
    with anyio.fail_after(30):
        assert await transactions.user.erase() == 1


async def test_a_closed_store_leaves_one_file(store: SQLiteStore, transactions: Transactions, tmp_path: Path) -> None:
    assert await transactions.is_lent_again()

    with anyio.fail_after(30):
        await store.aclose()

    assert names(tmp_path) == ["chat.db"]

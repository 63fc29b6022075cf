"""The connections that are kept for transactions: who has one, and what becomes of those that nobody waits for."""

import os
import signal
import sys
import threading

import anyio
import anyio.to_thread
import psycopg
import pytest
from psycopg.rows import TupleRow

from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres import Timeouts
from assistant_kit.stores.postgres.lending import CLEAN, Lendable
from assistant_kit.stores.postgres.server import Server
from assistant_kit.stores.postgres.transaction import Lending, Loan

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(postgres_url: str) -> Server:
    return Server.at(postgres_url, Timeouts(network=0.1))


def pid_of(loan: Loan) -> int:
    return loan.lent().info.backend_pid


def done(session: Session) -> TupleRow:
    return (*session.execute("SELECT 'done'").fetchall()[0],)


async def test_a_session_that_has_rested_is_asked_first(server: Server) -> None:
    lending = Lending(server, most=1, rested=0.0)
    pids: list[int] = []

    with anyio.fail_after(30):
        for _ in range(2):
            async with lending.loan() as loan:
                pids.append(pid_of(loan))
                await loan.finish(done)
        os.kill(pids[0], signal.SIGSTOP)
        try:
            async with lending.loan() as loan:
                pids.append(pid_of(loan))
        finally:
            os.kill(pids[0], signal.SIGCONT)
    lending.close()

    assert pids[1] == pids[0]
    assert pids[2] != pids[0]


async def test_a_session_that_could_not_be_cleaned_is_not_lent_again_and_its_work_stands(
    server: Server, schema: str, admin: psycopg.Connection
) -> None:
    session = server.connect(writes=True, transaction=60)
    lendable = Lendable(session, b"SELECT 1 / 0")
    lent = lendable.lend()
    lent.execute(f"CREATE TABLE stands_{schema} ()".encode())
    with lent.lock:
        lendable.take_back(lent)
        assert not lendable.commit(lent)
    lendable.close()

    admin.execute(f"DROP TABLE stands_{schema}".encode())


async def test_a_session_of_another_process_is_left_to_it(server: Server) -> None:
    session = server.connect(writes=True, transaction=60)
    lendable = Lendable(session, CLEAN)
    lendable.process += 1

    lendable.close()

    assert session.execute("SELECT 1").fetchone() == (1,)
    session.close()


FORKED = """
import gc, os, sys, anyio
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Append
from assistant_kit.stores.postgres import PostgresStore

store = PostgresStore(sys.argv[1], schema=sys.argv[2], connections=2)

async def transact():
    pids = []
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=600)
    async def work(connection):
        pids.append(connection.info.backend_pid)
        return Append(lease=lease, expected_seq=0, records=[], state="idle", open_turn=None)
    await user.transact(lease, work)
    return pids[0]

async def refused():
    async def work(connection):
        os._exit(2)
    try:
        await store.for_user("u").transact(None, work)
    except StoreUnavailable:
        return
    os._exit(3)

first = anyio.run(transact)
if os.fork() == 0:
    anyio.run(refused)
    del store
    gc.collect()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert anyio.run(transact) == first
anyio.run(store.aclose)
"""


async def test_a_forked_process_leaves_the_sessions_of_its_parent_alone(postgres_url: str, schema: str) -> None:
    with anyio.fail_after(60):
        await anyio.run_process([sys.executable, "-W", "ignore", "-c", FORKED, postgres_url, schema])


async def test_what_was_opened_for_a_task_that_is_gone_is_closed(server: Server) -> None:
    lending = Lending(server, most=1)
    loan = Loan(lending)
    loan.end()
    session = server.connect(writes=True, transaction=60)

    loan.hold(Lendable(session, CLEAN))

    assert session.closed


async def test_a_commit_that_outlasts_its_task_gives_nothing_back(server: Server) -> None:
    lending = Lending(server, most=1)
    session = server.connect(writes=True, transaction=60)
    loan = Loan(lending)
    loan.hold(Lendable(session, CLEAN))
    ending = threading.Thread(target=loan.end)

    def append(session: Session) -> TupleRow:
        ending.start()
        while not loan.is_over:
            pass
        return ("done",) if session else ()

    with anyio.fail_after(30):
        await loan.finish(append)
        await anyio.to_thread.run_sync(ending.join)

    assert session.closed

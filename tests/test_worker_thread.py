import sqlite3
import threading

import anyio
import anyio.to_thread
import pytest

from assistant_kit.worker_thread import MAX_GROUP, Duties, Ended, Group, Job, Worker

pytestmark = pytest.mark.anyio


class Ledger:
    """Duties that note the sizes of groups, and wait at a gate before each."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.gate = threading.Event()
        self.connections = 0

    def connect(self) -> sqlite3.Connection:
        self.connections += 1
        return sqlite3.connect(":memory:")

    def perform(self, connection: sqlite3.Connection, group: Group[sqlite3.Connection]) -> None:
        assert self.gate.wait(30)
        self.groups.append(len(group))
        for job in group:
            job.run(connection)

    def worker(self) -> Worker[sqlite3.Connection]:
        duties = Duties(
            connect=self.connect, perform=self.perform, close=sqlite3.Connection.close, breaks=sqlite3.OperationalError
        )
        return Worker("test", duties)


def threads() -> list[threading.Thread]:
    """The threads of workers that run now."""
    return [thread for thread in threading.enumerate() if thread.name == "assistant_kit-test"]


def asking(sql: str) -> Job[sqlite3.Connection, list[tuple[int]]]:
    def ask(connection: sqlite3.Connection) -> list[tuple[int]]:
        return connection.execute(sql).fetchall()

    return Job(ask)


async def run(worker: Worker[sqlite3.Connection], sql: str) -> list[tuple[int]]:
    job = asking(sql)
    worker.submit(job)
    with anyio.fail_after(30):
        return await job.outcome()


async def test_no_group_is_larger_than_its_limit() -> None:
    ledger = Ledger()
    worker = ledger.worker()

    async with anyio.create_task_group() as tasks:
        for _ in range(2 * MAX_GROUP + 5):
            tasks.start_soon(run, worker, "SELECT 1")
        await anyio.wait_all_tasks_blocked()
        ledger.gate.set()

    assert sum(ledger.groups) == 2 * MAX_GROUP + 5
    assert max(ledger.groups) == MAX_GROUP
    await worker.stop(patience=30)


async def test_a_connection_that_failed_is_not_used_again() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()

    assert await run(worker, "SELECT 1") == [(1,)]
    with pytest.raises(sqlite3.OperationalError):
        await run(worker, "SELECT nonsense")
    assert await run(worker, "SELECT 2") == [(2,)]

    assert ledger.connections == 2
    await worker.stop(patience=30)


async def test_stopping_waits_no_longer_than_told() -> None:
    ledger = Ledger()
    worker = ledger.worker()
    worker.submit(asking("SELECT 1"))
    (thread,) = threads()

    with anyio.fail_after(30):
        await worker.stop(patience=0.01)

    ledger.gate.set()
    thread.join(30)  # the next tests look at which threads there are


async def test_a_thread_that_has_ended_takes_no_jobs() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()
    await run(worker, "SELECT 1")
    (thread,) = threads()

    worker.end()
    thread.join(30)

    with pytest.raises(Ended):
        await run(worker, "SELECT 1")


async def test_a_worker_is_named_after_its_duty_and_ends_when_it_is_stopped() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()
    await run(worker, "SELECT 1")
    assert threads()

    with anyio.fail_after(30):
        await worker.stop(patience=30)
        await worker.stop(patience=30)

    assert not threads()
    with pytest.raises(Ended):
        await run(worker, "SELECT 1")


async def test_a_worker_that_was_never_used_has_no_thread_to_stop() -> None:
    worker = Ledger().worker()

    with anyio.fail_after(30):
        await worker.stop(patience=30)

    assert not threads()


async def test_the_result_of_a_job_is_known_when_it_was_done_and_not_when_it_failed() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()
    done, failed = asking("SELECT 1"), asking("SELECT nonsense")
    assert done.result is None

    worker.submit(done)
    with anyio.fail_after(30):
        await done.outcome()
        worker.submit(failed)
        with pytest.raises(sqlite3.OperationalError):
            await failed.outcome()
        await worker.stop(patience=30)

    assert done.result == [(1,)]
    assert failed.result is None


async def test_an_error_that_breaks_nothing_leaves_the_connection() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()

    def divide(_: sqlite3.Connection) -> float:
        return 1 / 0

    for _ in range(2):
        job = Job(divide)
        worker.submit(job)
        with anyio.fail_after(30), pytest.raises(ZeroDivisionError):
            await job.outcome()

    assert ledger.connections == 1
    await worker.stop(patience=30)


async def test_a_connection_that_cannot_be_opened_is_tried_again() -> None:
    ledger = Ledger()
    ledger.gate.set()
    opened = [sqlite3.OperationalError(), sqlite3.connect(":memory:", check_same_thread=False)]

    def connect() -> sqlite3.Connection:
        first = opened.pop(0)
        if isinstance(first, sqlite3.Error):
            raise first
        return first

    duties = Duties(connect=connect, perform=ledger.perform, close=sqlite3.Connection.close, breaks=sqlite3.Error)
    worker = Worker("test", duties)

    with pytest.raises(sqlite3.OperationalError):
        await run(worker, "SELECT 1")
    assert await run(worker, "SELECT 1") == [(1,)]

    await worker.stop(patience=30)


async def test_jobs_of_a_loop_that_has_ended_disturb_nobody() -> None:
    ledger = Ledger()
    worker = ledger.worker()

    async def leave() -> None:
        worker.submit(asking("SELECT 1"))

    for backend in ("asyncio", "trio"):
        await anyio.to_thread.run_sync(lambda b=backend: anyio.run(leave, backend=b))
    ledger.gate.set()

    assert await run(worker, "SELECT 2") == [(2,)]
    await worker.stop(patience=30)

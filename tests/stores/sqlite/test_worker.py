import sqlite3
import threading

import anyio
import pytest

from assistant_kit.stores.sqlite.worker import MAX_GROUP, Duties, Ended, Group, Job, Worker

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

    def perform(self, connection: sqlite3.Connection, group: Group) -> None:
        assert self.gate.wait(30)
        self.groups.append(len(group))
        for job in group:
            job.run(connection)

    def worker(self) -> Worker:
        return Worker("test", Duties(connect=self.connect, perform=self.perform))


async def run(worker: Worker, sql: str) -> list[tuple[int]]:
    job = Job(lambda connection: connection.execute(sql).fetchall())
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
    worker.submit(Job(lambda connection: connection.execute("SELECT 1")))

    with anyio.fail_after(30):
        await worker.stop(patience=0.01)

    ledger.gate.set()


async def test_a_thread_that_has_ended_takes_no_jobs() -> None:
    ledger = Ledger()
    ledger.gate.set()
    worker = ledger.worker()
    await run(worker, "SELECT 1")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "assistant_kit-test"]

    worker.end()
    thread.join(30)

    with pytest.raises(Ended):
        await run(worker, "SELECT 1")

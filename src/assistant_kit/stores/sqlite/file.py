"""A journal file in use: one thread that writes, one that reads, and what runs in them."""

import sqlite3
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from assistant_kit.errors import StoreUnavailable
from assistant_kit.stores.sqlite.failures import store_error
from assistant_kit.stores.sqlite.schema import Synchronous, open_connection
from assistant_kit.stores.sqlite.worker import Duties, Ended, Group, Job, Worker

T = TypeVar("T")

_CLOSING: Final = 10.0  # seconds beyond the busy timeout that what still waits may take


class JournalFile:
    """The file `path`, opened when it is first used. Nothing of SQLite's errors gets out of here."""

    def __init__(self, path: str, *, synchronous: Synchronous, busy_timeout: float) -> None:
        self._path = path
        self._patience = busy_timeout + _CLOSING
        connect = partial(open_connection, path, synchronous=synchronous, busy_timeout=busy_timeout)
        self._writer = Worker("sqlite-writer", Duties(connect=connect, perform=_commit))
        # Reads have a connection of their own: in WAL mode they wait for no write and no disk.
        self._reader = Worker("sqlite-reader", Duties(connect=connect, perform=_answer))
        for worker in (self._reader, self._writer):
            weakref.finalize(self, worker.end).atexit = False

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction and return what came of it when it is durable. Raises StoreError."""
        return await self._run(self._writer, job)

    async def read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action that only reads. Raises StoreError."""
        return await self._run(self._reader, Job(action))

    def write_later(self, action: Callable[[sqlite3.Connection], object]) -> None:
        """Run an action in a transaction, if the file is not closed; nobody waits for it."""
        with suppress(Ended):
            self._writer.submit(Job(action))

    async def aclose(self) -> None:
        """Do what still waits and end the threads. A second call does nothing."""
        await self._reader.stop(patience=self._patience)
        await self._writer.stop(patience=self._patience)

    async def _run(self, worker: Worker, job: Job[T]) -> T:
        try:
            worker.submit(job)
            return await job.outcome()
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except Ended as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error


def _commit(connection: sqlite3.Connection, group: Group) -> None:
    """Run jobs in one transaction, so that they share a commit; none undoes another."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if len(group) == 1:
            group[0].run(connection)  # alone it needs no savepoint: what it raises undoes the transaction
        else:
            for job in group:
                _run_apart(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error:
        raise  # the worker closes a connection that failed, and that undoes the transaction
    except Exception:
        connection.execute("ROLLBACK")
        raise


def _run_apart(connection: sqlite3.Connection, job: Job[object]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.run(connection)
    except Exception as error:
        if not connection.in_transaction:  # a full disk, for example, undoes everything
            raise
        job.fail(error)
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _answer(connection: sqlite3.Connection, group: Group) -> None:
    """Run jobs that only read."""
    for job in group:
        try:
            job.run(connection)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that waits)
            job.fail(error)

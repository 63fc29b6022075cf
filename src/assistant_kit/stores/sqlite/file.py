"""A journal file in use: a thread that writes, one that reads, one for transactions, and what runs in them."""

import sqlite3
import weakref
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar

from anyio import CancelScope

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.sqlite_file import FOREIGN
from assistant_kit.stores.sqlite.failures import ADVICE
from assistant_kit.stores.sqlite.lending import Lender, LentConnection, Loan
from assistant_kit.stores.sqlite.place import Opened, Place
from assistant_kit.stores.sqlite.schema import Setup, open_connection
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

T = TypeVar("T")
W = TypeVar("W")

_CLOSING: Final = 10.0  # seconds beyond the busy timeout that what still waits may take

_borrowed: ContextVar[Loan[Any] | None] = ContextVar("assistant_kit_sqlite_borrowed", default=None)


class JournalFile:
    """The file at `path`, opened when it is first used. Nothing of SQLite's errors gets out of here.

    `open_file` opens it for the threads that read and write.
    """

    def __init__(
        self,
        path: str,
        setup: Setup,
        *,
        open_file: Callable[[str, Setup], sqlite3.Connection] = open_connection,
    ) -> None:
        self.path = path
        self._setup = setup
        self._patience = setup.busy_timeout + _CLOSING
        self._place = place = Place(path)
        connect = partial(_open, open_file, setup)
        self._writer = Worker("sqlite-writer", _duties(Opened(place, connect), partial(commit, place.turn)))
        # Reads have a connection of their own: in WAL mode they wait for no write and no disk.
        self._reader = Worker("sqlite-reader", _duties(Opened(place, connect), _answer))
        # A transaction waits for its borrower, and no other write must be kept from its acknowledgement by that.
        lending = Opened(place, lambda path: open_connection(path, setup, LentConnection))
        duties = Duties(connect=partial(Lender, lending), perform=_serve, close=Lender.close, breaks=())
        self._lender = Worker("sqlite-lender", duties)
        for worker in (self._reader, self._writer, self._lender):
            weakref.finalize(self, worker.end).atexit = False

    async def write(self, job: Job[sqlite3.Connection, T]) -> T:
        """Run a job in a transaction and return what came of it when it is durable. Raises StoreError."""
        self._refuse_borrowers()
        return await self._run(self._writer, job)

    async def read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action that only reads. Raises StoreError."""
        return await self._run(self._reader, Job(action))

    def write_later(self, action: Callable[[sqlite3.Connection], object]) -> None:
        """Run an action in a transaction, if the file is not closed; nobody waits for it."""
        with suppress(Ended):
            self._writer.submit(Job(action))

    async def transact(
        self, work: Callable[[sqlite3.Connection], Awaitable[W]], finish: Callable[[sqlite3.Connection, W], bool]
    ) -> None:
        """Begin a transaction, lend its connection to `work`, and `finish` with what that returns, committing if told.

        All other writers of the file wait meanwhile. If the task is cancelled, or `work` or `finish` raises, all is
        undone; once `work` has returned, cancellation comes too late. Raises StoreError, and what both raise.
        """
        self._refuse_borrowers()
        loan = Loan(self._place.turn, finish)
        job = Job(partial(_serve_loan, loan))
        self._submit(self._lender, job)
        try:
            connection = await loan.borrow()
            if connection is not None:
                mark = _borrowed.set(loan)
                try:
                    write = await work(connection)
                finally:
                    _borrowed.reset(mark)
                    del connection  # what nobody has in hand is lent again
                loan.give_back(write)
        finally:
            loan.give_back(None)
        with CancelScope(shield=True):  # it is decided, and a commit waits for nothing but the disk
            await self._outcome(job)

    async def apart(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action outside of transactions, on a connection of its own, while no other write of this store runs.

        Raises StoreError.
        """
        self._refuse_borrowers()
        opened = Opened(self._place, lambda path: open_connection(path, self._setup))
        return await self._run(self._lender, Job(partial(_act_apart, self._place.turn, opened, action)))

    async def aclose(self) -> None:
        """Do what still waits and end the threads. A second call does nothing."""
        for worker in (self._reader, self._lender, self._writer):
            await worker.stop(patience=self._patience)

    def _refuse_borrowers(self) -> None:
        """Raise StoreError in a task that would wait for the end of its own transaction."""
        loan = _borrowed.get()
        if loan is not None and loan.is_open and loan.turn is self._place.turn:
            raise StoreError(
                f"{self.path}: this would wait for its own transaction: what writes in the transaction of a turn "
                "cannot write to the same store in another way meanwhile"
            )

    async def _run(self, worker: Worker[Any], job: Job[Any, T]) -> T:
        self._submit(worker, job)
        return await self._outcome(job)

    def _submit(self, worker: Worker[Any], job: Job[Any, Any]) -> None:
        try:
            worker.submit(job)
        except Ended as error:
            raise StoreUnavailable(f"{self.path}: {error}") from error

    async def _outcome(self, job: Job[Any, T]) -> T:
        try:
            return await job.outcome()
        except FOREIGN as error:
            raise ADVICE.store_error(error, self.path) from error


def _open(open_file: Callable[[str, Setup], sqlite3.Connection], setup: Setup, path: str) -> sqlite3.Connection:
    return open_file(path, setup)


def _duties(
    opened: Opened[sqlite3.Connection], perform: Callable[[sqlite3.Connection, Group[sqlite3.Connection]], None]
) -> Duties[sqlite3.Connection]:
    def perform_here(connection: sqlite3.Connection, group: Group[sqlite3.Connection]) -> None:
        perform(connection, group)
        opened.check()

    # The last connection to a file that is closed brings it up to date and removes its write-ahead log.
    return Duties(
        connect=opened.connect,
        perform=perform_here,
        close=lambda connection: connection.close(),
        breaks=(sqlite3.Error, StoreUnavailable),
    )


def commit(turn: Lock, connection: sqlite3.Connection, group: Group[sqlite3.Connection]) -> None:
    """Run jobs in one transaction, so that they share a commit; none undoes another."""
    with turn:
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


def _run_apart(connection: sqlite3.Connection, job: Job[sqlite3.Connection, object]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.run(connection)
    except Exception as error:
        if not connection.in_transaction:  # a full disk, for example, undoes everything
            raise
        job.fail(error)
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _answer(connection: sqlite3.Connection, group: Group[sqlite3.Connection]) -> None:
    """Run jobs that only read."""
    for job in group:
        try:
            job.run(connection)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that waits)
            job.fail(error)


def _serve(lender: Lender, group: Group[Lender]) -> None:
    """Run jobs one after another."""
    for job in group:
        try:
            job.run(lender)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that waits)
            job.fail(error)


def _serve_loan(loan: Loan[Any], lender: Lender) -> None:
    loan.serve(lender)
    lender.check()


def _act_apart(
    turn: Lock, opened: Opened[sqlite3.Connection], action: Callable[[sqlite3.Connection], T], _: Lender
) -> T:
    with turn, closing(opened.connect()) as connection:
        result = action(connection)
    opened.check()
    return result

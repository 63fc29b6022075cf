"""An index file in use: a thread that writes, some that read, and what runs in them."""

import os
import weakref
from collections.abc import Callable
from itertools import cycle
from traceback import clear_frames
from typing import Final, TypeVar

from assistant_kit.errors import AssistantKitError, StoreUnavailable
from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.indexes.sqlite.failures import FOREIGN, store_error
from assistant_kit.indexes.sqlite.schema import Setup, open_connection
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

T = TypeVar("T")

_READERS: Final = 2
_CLOSING: Final = 10.0  # seconds beyond the busy timeout that what still waits may take


class IndexFile:
    """The file at `path`, opened when it is first used. Nothing of SQLite's errors gets out of here."""

    def __init__(self, path: str, setup: Setup) -> None:
        self.path = path
        self._patience = setup.busy_timeout + _CLOSING
        self._writer = Worker("index-writer", _duties(_Opened(path, setup), _commit))
        # Searches have connections of their own: in WAL mode they wait for no write and no disk.
        self._readers = [Worker("index-reader", _duties(_Opened(path, setup), _answer)) for _ in range(_READERS)]
        self._next_reader = cycle(self._readers)
        for worker in (self._writer, *self._readers):
            weakref.finalize(self, worker.end).atexit = False

    async def write(self, action: Callable[[Connection], T]) -> T:
        """Run an action in a transaction and return what came of it when it is durable.

        The action may raise an error of ours before it writes anything, and none afterwards; it may be run again when
        the first attempt was undone. Raises StoreError, and what the action raises.
        """
        return await self._run(self._writer, Job(action))

    async def apart(self, action: Callable[[Connection], T]) -> T:
        """Run an action outside of transactions, while no other write of this object runs. Raises StoreError."""
        return await self._run(self._writer, _Apart(action))

    async def read(self, action: Callable[[Connection], T]) -> T:
        """Run an action that only reads, all of it from one state of the file. Raises as `write`."""
        return await self._run(next(self._next_reader), Job(action))

    async def aclose(self) -> None:
        """Do what still waits and end the threads. A second call does nothing."""
        for worker in (*self._readers, self._writer):
            await worker.stop(patience=self._patience)

    async def _run(self, worker: Worker[Connection], job: Job[Connection, T]) -> T:
        try:
            worker.submit(job)
        except Ended as error:
            raise StoreUnavailable(f"{self.path}: {error}") from error
        try:
            return await job.outcome()
        except FOREIGN as error:
            raise store_error(error, self.path) from error


class _Apart(Job[Connection, T]):
    """A job that stands in no transaction."""


class _Opened:
    """What one thread has open, and whether it is still what stands at the path."""

    def __init__(self, path: str, setup: Setup) -> None:
        self._path = path
        self._setup = setup
        self._identity: tuple[int, int] | None = None

    def connect(self) -> Connection:
        """Open the file, making it if it was never there. Raises StoreUnavailable, and what opening raises.

        A file that was there and is gone is not made anew: its passages would seem never to have been.
        """
        if self._identity is not None and self._found() is None:
            raise self._gone()
        connection = open_connection(self._path, self._setup)
        self._identity = self._found()
        return connection

    def check(self) -> None:
        """See that what is open stands at the path, before anything is acknowledged. Raises StoreUnavailable.

        SQLite would go on to write to a file that nobody can find: https://sqlite.org/howtocorrupt.html
        """
        if self._found() != self._identity:
            raise self._gone()

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  (a path may be any text)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _gone(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path}: it was deleted, moved or replaced while it was in use, and what was written last may be "
            "in the old one: put the file back, or use a new path"
        )


def _duties(opened: _Opened, perform: Callable[[Connection, Group[Connection]], None]) -> Duties[Connection]:
    def perform_here(connection: Connection, group: Group[Connection]) -> None:
        perform(connection, group)
        opened.check()

    # The last connection to a file that is closed brings it up to date and removes its write-ahead log.
    return Duties(
        connect=opened.connect,
        perform=perform_here,
        close=lambda connection: connection.close(),
        breaks=(*FOREIGN, StoreUnavailable),
    )


def _commit(connection: Connection, group: Group[Connection]) -> None:
    """Run the writes of a group in one transaction, so that they share a commit; then what stands in none."""
    writes = [job for job in group if not isinstance(job, _Apart)]
    try:
        _transact(connection, writes)
    except FOREIGN:
        if len(writes) == 1:
            raise
        _commit_each(connection, writes)
    for job in group:
        if isinstance(job, _Apart):
            _attempt(connection, job)


def _commit_each(connection: Connection, writes: Group[Connection]) -> None:
    """Let each write fail by itself, after a group failed."""
    for job in writes:
        try:
            _transact(connection, [job])
        except FOREIGN as error:
            job.fail(error)


def _transact(connection: Connection, writes: Group[Connection]) -> None:
    if not writes:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job in writes:
            _attempt(connection, job, AssistantKitError)
        connection.execute("COMMIT")
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: Connection) -> None:
    if connection.in_transaction:  # a full disk, for example, ends it by itself
        connection.execute("ROLLBACK")


def _answer(connection: Connection, group: Group[Connection]) -> None:
    """Run jobs that only read."""
    for job in group:
        connection.execute("BEGIN")
        try:
            _attempt(connection, job)
        finally:
            _undo(connection)


def _attempt(connection: Connection, job: Job[Connection, object], ours: type[Exception] = Exception) -> None:
    try:
        job.run(connection)
    except ours as error:  # it belongs to the task that waits
        # A statement that is kept alive by a traceback would keep the log beside the file from being emptied.
        clear_frames(error.__traceback__)
        job.fail(error)

"""A store in one SQLite file, shared by the processes of one machine."""

import math
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Self, TypeVar
from urllib.parse import unquote

import anyio

from assistant_kit.errors import ConfigurationError, StoreUnavailable, UnknownStore
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, Record, UserStore
from assistant_kit.stores._rules import Clock, check_append, check_claim, check_name, check_ttl
from assistant_kit.stores.sqlite import journal
from assistant_kit.stores.sqlite.failures import store_error
from assistant_kit.stores.sqlite.schema import Synchronous, open_connection
from assistant_kit.stores.sqlite.worker import Duties, Ended, Group, Job, Worker

T = TypeVar("T")

_SCHEME: Final = "sqlite:///"
_CLOSING: Final = 10.0  # seconds beyond the busy timeout that what still waits may take


class SQLiteStore:
    """Journals in the file `path`, which is made when it is first used; its folder must exist.

    `synchronous`: with FULL an acknowledged write survives a power cut; with NORMAL it survives the death of the
    process only, and a write costs less. `busy_timeout` is how many seconds to wait while another process writes.
    `clock` returns seconds since 1970; leases end by it.

    Event loops and threads may share a store. Raises ConfigurationError for a path that is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 20.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = os.fspath(path)
        if self._path in ("", ":memory:") or "\0" in self._path:
            raise ConfigurationError(
                f"{self._path!r} is no path of a file: for journals that end with the process use 'memory:'"
            )
        self._clock = Clock(clock)
        self._patience = busy_timeout + _CLOSING
        connect = partial(open_connection, self._path, synchronous=synchronous, busy_timeout=busy_timeout)
        self._writer = Worker("sqlite-writer", Duties(connect=connect, perform=_commit))
        # Reads have a connection of their own: in WAL mode they wait for no write and no disk.
        self._reader = Worker("sqlite-reader", Duties(connect=connect, perform=_answer))
        for worker in (self._reader, self._writer):
            weakref.finalize(self, worker.end).atexit = False

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return a store for `sqlite:///relative.db` or `sqlite:////absolute/path.db`. Raises ConfigurationError.

        `%20` and its like stand for the characters they encode.
        """
        if not address.startswith(_SCHEME):
            raise UnknownStore(address, [_SCHEME])
        path = address.removeprefix(_SCHEME)
        if "?" in path:
            raise ConfigurationError(
                f"{address!r} has options: give them as SQLiteStore(path, synchronous=…); a '?' in a path is '%3F'"
            )
        return cls(unquote(path))

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return _UserStore(self, user, self._clock)

    async def aclose(self) -> None:
        """Write what still waits, bring the file up to date, end the threads. A second call does nothing."""
        await self._reader.stop(patience=self._patience)
        await self._writer.stop(patience=self._patience)

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction and return what came of it when it is durable."""
        return await self._run(self._writer, job)

    async def read(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action that only reads."""
        return await self._run(self._reader, Job(action))

    def write_later(self, action: Callable[[sqlite3.Connection], object]) -> None:
        """Run an action in a transaction, if the store is not closed; nobody waits for it."""
        with suppress(Ended):
            self._writer.submit(Job(action))

    async def _run(self, worker: Worker, job: Job[T]) -> T:
        try:
            worker.submit(job)
            return await job.outcome()
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        except Ended as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_clock", "_store", "_user")

    def __init__(self, store: SQLiteStore, user: str, clock: Clock) -> None:
        self._store = store
        self._user = user
        self._clock = clock

    async def claim(self, conversation: str, *, owner: str, ttl: float) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl)
        clock, key = self._clock, (self._user, conversation)
        # The clock is read in the thread that holds the file's only write lock: so there is one order of times.
        job = Job(lambda connection: journal.claim(connection, key, owner, ttl, now=clock.now(), at=clock.tick()))
        try:
            return await self._store.write(job)
        except anyio.get_cancelled_exc_class():
            # It stands in the queue or is done: nobody would know the lease that it takes.
            self._store.write_later(partial(_undo_claim, user=self._user, job=job))
            raise

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        clock, user = self._clock, self._user
        await self._store.write(Job(lambda connection: journal.renew(connection, user, lease, clock.now() + ttl)))

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self._store.write(Job(partial(journal.release, user=self._user, lease=lease)))

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return. Raises LeaseLost, ConversationConflict, InputError.

        The task may be cancelled: the write takes place nevertheless, or not at all; append it again to be sure.
        """
        check_append(write)
        clock, user = self._clock, self._user
        await self._store.write(Job(lambda connection: journal.append(connection, user, write, clock.tick())))

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return the newest records that fit the limits, in order. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        key = (self._user, conversation)
        return await self._store.read(
            lambda connection: journal.read(
                connection, key, after=after, before=before, max_tokens=max_tokens, limit=limit
            )
        )

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        key = (self._user, conversation)
        return await self._store.read(lambda connection: journal.locate(connection, key, record_id))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        user, end = self._user, math.inf if before is None else before
        return await self._store.read(lambda connection: journal.conversations(connection, user, limit, end))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        clock, key = self._clock, (self._user, conversation)
        await self._store.write(Job(lambda connection: journal.delete(connection, key, clock.now())))


def _undo_claim(connection: sqlite3.Connection, *, user: str, job: Job[Lease]) -> None:
    if job.result is not None:
        journal.release(connection, user, job.result)


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

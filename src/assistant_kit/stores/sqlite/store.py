"""A store in one SQLite file, shared by the processes of one machine."""

import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self
from urllib.parse import unquote

import anyio

from assistant_kit.errors import ConfigurationError, UnknownStore
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record, UserStore
from assistant_kit.stores._rules import Clock, check_append, check_claim, check_name, check_ttl
from assistant_kit.stores.sqlite import journal
from assistant_kit.stores.sqlite.file import JournalFile
from assistant_kit.stores.sqlite.schema import Synchronous
from assistant_kit.stores.sqlite.worker import Job

_SCHEME: Final = "sqlite:///"


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
        name = os.fspath(path)
        if name in ("", ":memory:") or "\0" in name:
            raise ConfigurationError(
                f"{name!r} is no path of a file: for journals that end with the process use 'memory:'"
            )
        self._clock = Clock(clock)
        self._file = JournalFile(name, synchronous=synchronous, busy_timeout=busy_timeout)

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
        return _UserStore(self._file, user, self._clock)

    async def aclose(self) -> None:
        """Write what still waits, bring the file up to date, end the threads. A second call does nothing."""
        await self._file.aclose()


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_clock", "_file", "_user")

    def __init__(self, file: JournalFile, user: str, clock: Clock) -> None:
        self._file = file
        self._user = user
        self._clock = clock

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        clock, asked = self._clock, journal.Claim((self._user, conversation), owner, ttl, begin)
        # The clock is read in the thread that holds the file's only write lock: so there is one order of times.
        job = Job(lambda connection: journal.claim(connection, asked, now=clock.now(), at=clock.tick()))
        try:
            return await self._file.write(job)
        except anyio.get_cancelled_exc_class():
            # It stands in the queue or is done: nobody would know the lease that it takes.
            self._file.write_later(partial(_undo_claim, user=self._user, job=job))
            raise

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        clock, user = self._clock, self._user
        await self._file.write(Job(lambda connection: journal.renew(connection, user, lease, clock.now() + ttl)))

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self._file.write(Job(partial(journal.release, user=self._user, lease=lease)))

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return. Raises LeaseLost, ConversationConflict, InputError.

        The task may be cancelled: the write takes place nevertheless, or not at all; append it again to be sure.
        """
        check_append(write)
        clock, user = self._clock, self._user
        await self._file.write(Job(lambda connection: journal.append(connection, user, write, clock.tick())))

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
        return await self._file.read(
            lambda connection: journal.read(
                connection, key, after=after, before=before, max_tokens=max_tokens, limit=limit
            )
        )

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        key = (self._user, conversation)
        return await self._file.read(lambda connection: journal.locate(connection, key, record_id))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        user, end = self._user, math.inf if before is None else before
        return await self._file.read(lambda connection: journal.conversations(connection, user, limit, end))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        clock, key = self._clock, (self._user, conversation)
        await self._file.write(Job(lambda connection: journal.delete(connection, key, clock.now())))


def _undo_claim(connection: sqlite3.Connection, *, user: str, job: Job[Lease]) -> None:
    if job.result is not None:
        journal.undo_claim(connection, user, job.result)

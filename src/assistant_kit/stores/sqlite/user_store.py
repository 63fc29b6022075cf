"""The handle of one user on a journal file."""

import math
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio

from assistant_kit.audit_chain import AuditLink
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record
from assistant_kit.stores._rules import (
    Clock,
    check_append,
    check_claim,
    check_name,
    check_title,
    check_transaction,
    check_ttl,
)
from assistant_kit.stores.sqlite import chain, erasure, history, journal, reading
from assistant_kit.stores.sqlite.file import JournalFile
from assistant_kit.worker_thread import Job


class SQLiteUserStore:
    """The journals of one user.

    The clock is read in a thread that holds the file's only write lock: so there is one order of times.
    """

    __slots__ = ("_clock", "_file", "_user")

    def __init__(self, file: JournalFile, user: str, clock: Clock) -> None:
        self._file = file
        self._user = user
        self._clock = clock

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        clock, asked = self._clock, journal.Claim((self._user, conversation), owner, ttl, begin)

        def claim(connection: sqlite3.Connection) -> Lease:
            return journal.claim(connection, asked, now=clock.now(), at=clock.tick())

        job = Job(claim)
        try:
            return await self._file.write(job)
        except anyio.get_cancelled_exc_class():
            # It stands in the queue or is done: nobody would know the lease that it takes.
            self._file.write_later(partial(_undo_claim, user=self._user, clock=clock, job=job))
            raise

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        clock, user = self._clock, self._user
        await self._write(lambda connection: journal.renew(connection, user, lease, clock.now() + ttl))

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self._write(partial(journal.release, user=self._user, lease=lease))

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return. Raises LeaseLost, ConversationConflict, InputError.

        The task may be cancelled: the write takes place nevertheless, or not at all; append it again to be sure.
        """
        check_append(write)
        clock, user = self._clock, self._user
        await self._write(lambda connection: journal.append(connection, user, write, clock.tick()))

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write in one transaction with what `work` does by the `sqlite3.Connection` that it gets.

        That connection can neither end the transaction nor reach the tables of the store, and is closed afterwards,
        also for a thread that is late. All writers of the file wait until `work` returns, also those of other
        processes: for `busy_timeout` seconds at most. `work` itself may read from the store, but not write to it in
        another way. Raises LeaseLost, ConversationConflict, InputError, and what `work` raises.
        """
        clock, user = self._clock, self._user

        async def checked(connection: sqlite3.Connection) -> Append:
            write = await work(connection)
            check_transaction(lease, write)
            return write

        await self._file.transact(
            checked, lambda connection, write: journal.append(connection, user, write, clock.tick())
        )

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
        key, window = (self._user, conversation), reading.Window.of(after=after, before=before, limit=limit)
        return await self._file.read(lambda connection: reading.read(connection, key, window, max_tokens))

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        key = (self._user, conversation)
        return await self._file.read(lambda connection: reading.locate(connection, key, record_id))

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        key = (self._user, conversation)
        return await self._file.read(lambda connection: reading.info(connection, key))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        user, end = self._user, math.inf if before is None else before
        return await self._file.read(lambda connection: reading.conversations(connection, user, limit, end))

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the order of the list stays. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        check_title(title)
        clock, key = self._clock, (self._user, conversation)
        await self._write(lambda connection: history.rename(connection, key, title, clock.tick()))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        check_name("conversation", conversation)
        check_name("conversation", new)
        clock, key = self._clock, (self._user, conversation)
        await self._write(lambda connection: history.fork(connection, key, new, at, clock.tick()))

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`. Raises LeaseLost, InputError."""
        clock, user = self._clock, self._user
        await self._write(lambda connection: history.rewind(connection, user, lease, to, clock.tick()))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        clock, key = self._clock, (self._user, conversation)
        await self._write(lambda connection: history.delete(connection, key, clock.now(), clock.tick()))

    async def erase(self) -> int:
        """Delete all that is kept of this user, and return the number of conversations.

        Not even the bytes of the file have it then: it is written anew, while others wait. Raises StoreError when that
        fails, StoreBusy when somebody reads the file for too long: erase again.
        """
        clock, user = self._clock, self._user

        def erase(connection: sqlite3.Connection) -> int:
            return erasure.erase(connection, user, clock.tick())

        erased = await self._file.write(Job(erase))
        await self._file.apart(partial(erasure.scrub, path=self._file.path))
        return erased

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the user's audit chain, in order."""
        user = self._user
        return await self._file.read(lambda connection: chain.log(connection, user, after=after, limit=limit))

    async def _write(self, action: Callable[[sqlite3.Connection], object]) -> None:
        await self._file.write(Job(action))


def _undo_claim(
    connection: sqlite3.Connection, *, user: str, clock: Clock, job: Job[sqlite3.Connection, Lease]
) -> None:
    if job.result is not None:
        journal.undo_claim(connection, user, job.result, clock.tick())

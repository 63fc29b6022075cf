"""A store in one SQLite file, shared by the processes of one machine."""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Self

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.store import TurnState, Unfinished, UserStore
from assistant_kit.sqlite_file import path_in
from assistant_kit.stores._rules import Clock, check_name
from assistant_kit.stores.sqlite import reading
from assistant_kit.stores.sqlite.file import JournalFile
from assistant_kit.stores.sqlite.schema import Setup, Synchronous
from assistant_kit.stores.sqlite.user_store import SQLiteUserStore
from assistant_kit.worker_thread import Job


class SQLiteStore:
    """Journals in the file `path`, which is made when it is first used; its folder must exist.

    `synchronous`: with FULL an acknowledged write survives a power cut; with NORMAL it survives the death of the
    process only, and a write costs less. `busy_timeout` is how many seconds to wait while another process writes.
    With `audit`, writes add links to the users' audit chains, from now on and for whoever opens the file later.
    `shared`: tables of the application may be in the file, and may have been there first; without, such a file is
    refused. `clock` returns seconds since 1970; leases end by it.

    Event loops and threads may share a store. Raises ConfigurationError for a path that is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 20.0,
        audit: bool = False,
        shared: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        name = os.fspath(path)
        if name in ("", ":memory:") or "\0" in name:
            raise ConfigurationError(
                f"{name!r} is no path of a file: for journals that end with the process use 'memory:'"
            )
        self._clock = Clock(clock)
        setup = Setup(synchronous=synchronous, busy_timeout=busy_timeout, audit=audit, shared=shared)
        self._file = JournalFile(name, setup)

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return a store for `sqlite:///relative.db` or `sqlite:////absolute/path.db`. Raises ConfigurationError.

        `%20` and its like stand for the characters they encode.
        """
        return cls(path_in(address, instead="give them as SQLiteStore(path, synchronous=…)"))

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return SQLiteUserStore(self._file, user, self._clock)

    async def open(self) -> None:
        """Open the file, making or upgrading it when needed, and see that it can be written. Raises StoreError."""
        await self._file.write(Job(_nothing))

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations in this state that nobody holds, the longest unchanged first."""
        clock = self._clock
        return await self._file.read(lambda connection: reading.unfinished(connection, state, limit, clock.now()))

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in the order of their UTF-8 bytes."""
        return await self._file.read(lambda connection: reading.users(connection, after, limit))

    async def aclose(self) -> None:
        """Write what still waits, bring the file up to date, end the threads. A second call does nothing."""
        await self._file.aclose()


def _nothing(_: sqlite3.Connection) -> None:
    """Do nothing in a transaction: beginning it shows whether the file can be written."""

"""Small values in one SQLite file, shared by the processes of one machine."""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Self

from assistant_kit.errors import (
    ConfigurationError,
    StoreUnavailable,
)
from assistant_kit.shared_states._combining import Update, settle
from assistant_kit.shared_states._rules import Held, Spot, Write
from assistant_kit.shared_states._threaded import Backend, ThreadedState
from assistant_kit.sqlite_file import FOREIGN, Advice, path_in, switch_to_wal, version_of

_CLOSING: Final = 10.0  # seconds beyond the busy timeout that what still waits may take

APPLICATION_ID: Final = 0x616B7374
"""`akst`: says in the file's header whose database this is (`PRAGMA application_id`)."""

_VERSION: Final = 1
_TABLES: Final = (
    """
    CREATE TABLE state (
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        at REAL NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (owner, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX state_by_until ON state (until)",
)

_READ: Final = "SELECT value, at, until FROM state WHERE owner = ? AND key = ?"
_WRITE: Final = "INSERT OR REPLACE INTO state (owner, key, value, at, until) VALUES (?, ?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM state WHERE owner = ? AND key = ?"
_VALUES: Final = "SELECT key, value FROM state WHERE owner = ? AND until > max(?, at)"
_ERASE: Final = "DELETE FROM state WHERE owner = ?"
_FORGET: Final = """
    DELETE FROM state WHERE (owner, key) IN (SELECT owner, key FROM state WHERE until <= ? ORDER BY until LIMIT ?)
"""
_FORGET_AFTER: Final = 64  # values written: so what nobody asks for any more goes faster than it comes
_FORGET_MOST: Final = 256

ADVICE: Final = Advice(
    full="the disk is full",
    failing="reading or writing failed: look at the disk",
    damaged="the database is damaged: delete it, as its values may be forgotten",
)


class SQLiteState(ThreadedState):
    """Values in the file `path`, which is made when it is first used; its folder must exist.

    A file of its own, beside that of a journal. A change that was acknowledged survives the death of the process, and
    not surely a power cut. `busy_timeout` is how many seconds to wait while another process writes; `clock` returns
    seconds since 1970, and when it is set back, time stands still for a value until it has caught up.

    Event loops and threads may share an object. Raises ConfigurationError for a path that is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, busy_timeout: float = 20.0, clock: Callable[[], float] = time.time
    ) -> None:
        name = os.fspath(path)
        if name in ("", ":memory:") or "\0" in name:
            raise ConfigurationError(f"{name!r} is no path of a file: for values of this process use MemoryState")
        super().__init__(
            Backend(
                name="sqlite",
                place=name,
                connect=partial(_File, name, busy_timeout, clock),
                foreign=FOREIGN,
                meaning=ADVICE.store_error,
                patience=busy_timeout + _CLOSING,
            )
        )

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the state in `sqlite:///relative.db` or `sqlite:////absolute/path.db`. Raises ConfigurationError.

        `%20` and its like stand for the characters they encode.
        """
        return cls(path_in(address, instead="there are none"))


class _File:
    """The file as its thread has it open."""

    def __init__(self, path: str, busy_timeout: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._patience = busy_timeout
        self._written = 0
        self._connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
        try:
            _prepare(self._connection, path, busy_timeout)
        except BaseException:
            self._connection.close()
            raise
        self._identity = _identity(path)

    def update(self, updates: Sequence[Update[object]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")  # what fails is undone by closing the connection
        settle(self, updates, place=self._path, patience=self._patience)
        self._connection.execute("COMMIT")
        self._check()

    def read(self, spots: Sequence[Spot]) -> tuple[float, Mapping[Spot, Held[bool]]]:
        found: dict[Spot, Held[bool]] = {}
        for spot in spots:
            row = self._connection.execute(_READ, spot).fetchone()
            if row is not None:
                value, at, until = row
                found[spot] = Held(value=value, at=at, until=until, mark=True)
        return self._clock(), found

    def write(self, writes: Sequence[Write[bool]], clock: float) -> Sequence[Spot]:
        """Write all: nobody else does between read and write."""
        for write in writes:
            if write.value is None:
                self._connection.execute(_DELETE, write.spot)
            else:
                self._connection.execute(_WRITE, (*write.spot, write.value, write.at, write.until))
        self._written += len(writes)
        if self._written >= _FORGET_AFTER:
            self._written = 0
            self._connection.execute(_FORGET, (clock, _FORGET_MOST))
        return ()

    def values(self, owner: str) -> Mapping[str, bytes]:
        return dict(self._connection.execute(_VALUES, (owner, self._clock())).fetchall())

    def erase(self, owner: str) -> None:
        self._connection.execute(_ERASE, (owner,))
        # What was deleted still stands in the log beside the file, until that is written back and emptied.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._check()

    def close(self) -> None:
        self._connection.close()

    def _check(self) -> None:
        """See that what is open stands at the path. Raises StoreUnavailable.

        SQLite would go on with a file that nobody else can find: each process would count for itself.
        """
        if _identity(self._path) != self._identity:
            raise StoreUnavailable(
                f"{self._path}: it was deleted, moved or replaced while in use; a new one is made next"
            )


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells the file at the path from any other; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (a path may be any text)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(connection: sqlite3.Connection, path: str, busy_timeout: float) -> None:
    """Make the table when there is none. A file that is not ours is left as it is."""
    if not _is_made(connection, path):
        switch_to_wal(connection, busy_timeout)
        connection.execute("BEGIN IMMEDIATE")
        if not _is_made(connection, path):  # another process may have made it meanwhile
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    # Counters and reservations expire, and a journal does not depend on them: a power cut may take the last moments,
    # and a change costs no wait for the disk. The file stays whole (https://sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros


def _is_made(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the table is there. Raises StoreCorrupt, StoreTooNew."""
    return version_of(connection, path, application=APPLICATION_ID, newest=_VERSION) == _VERSION

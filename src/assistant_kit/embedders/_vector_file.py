"""Vectors in an SQLite file, which may be lost: reading and writing it never fail, they only warn."""

import logging
import math
import sqlite3
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.embedder import Vector
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

T = TypeVar("T")

_log = logging.getLogger("assistant_kit.embedders")

_OURS: Final = 0x414B5643  # "AKVC", the application_id: the file of another program is left alone
_ASKED: Final = 500  # keys in one question
_PATIENCE: Final = 5.0
_OFF: Final = 0.01  # how far the length of a vector may be from 1, as in search indexes


class VectorFile:
    """Vectors by their keys, at most `most` of them: the oldest go first.

    Another process may write for `busy` seconds before this one does without the file.
    """

    def __init__(self, path: Path, *, most: int, busy: float = 2.0) -> None:
        self._path = path
        self._most = most
        self._busy = busy
        self._warned = False
        duties = Duties(connect=self._connect, perform=_perform, close=sqlite3.Connection.close, breaks=sqlite3.Error)
        self._worker: Worker[sqlite3.Connection] = Worker("vectors", duties)

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return those that are there and whole."""
        return await self._tried(lambda connection: _read(connection, keys), {})

    async def write(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep these, and let the oldest go when there are too many."""
        await self._tried(lambda connection: _write(connection, vectors, self._most), None)

    async def clear(self) -> None:
        """Delete all, also from the disk. Raises StoreUnavailable when that is not certain."""
        try:
            await self._done(_clear)
        except (sqlite3.Error, Ended) as error:
            raise StoreUnavailable(f"{self._path}: the vectors were not deleted: {error}") from error

    async def aclose(self) -> None:
        """Close the file. May be called twice."""
        await self._worker.stop(patience=_PATIENCE)

    async def _tried(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        try:
            return await self._done(action)
        except (sqlite3.Error, Ended) as problem:
            if not self._warned:
                self._warned = True
                _log.warning("vectors are not kept in %s, which costs time and nothing else: %s", self._path, problem)
            return otherwise

    async def _done(self, action: Callable[[sqlite3.Connection], T]) -> T:
        job = Job(action)
        self._worker.submit(job)
        return await job.outcome()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy, isolation_level=None)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table in a new file, and refuse the file of somebody else."""
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if owner != _OURS:
        (others,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if owner or others:
            raise sqlite3.DatabaseError("it is a database of something else: give another path")
        connection.execute(f"PRAGMA application_id = {_OURS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS vectors"
        " (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL) STRICT"
    )


def _perform(connection: sqlite3.Connection, group: Group[sqlite3.Connection]) -> None:
    for job in group:
        job.run(connection)


def _read(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Vector]:
    found: dict[bytes, Vector] = {}
    for start in range(0, len(keys), _ASKED):
        asked = keys[start : start + _ASKED]
        marks = ", ".join("?" * len(asked))
        rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", asked)  # noqa: S608
        found |= {key: vector for key, data in rows if (vector := _vector(data)) is not None}
    return found


def _vector(data: bytes) -> "Vector | None":
    """Return a vector, or None for what is none."""
    if len(data) % 4:
        return None
    vector = array("f", data)
    return vector if abs(math.hypot(*vector) - 1.0) <= _OFF else None


def _write(connection: sqlite3.Connection, vectors: Mapping[bytes, Vector], most: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = [(key, vector.tobytes()) for key, vector in vectors.items()]
        connection.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)
        connection.execute("DELETE FROM vectors WHERE number <= (SELECT max(number) FROM vectors) - ?", (most,))
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _clear(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM vectors")
    connection.execute("VACUUM")
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another process is reading it")

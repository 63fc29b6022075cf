"""Lending a connection to whoever writes in the same transaction as the journal, and taking it back for good.

A function that outlives its time limit goes on in its thread, and nothing can stop it. What it was lent is therefore a
connection of its own, on which it can neither end the transaction nor do anything once that is over.
"""

import sqlite3
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Lock, RLock
from typing import Any, Final, Generic, NoReturn, TypeVar, cast
from weakref import WeakSet

from assistant_kit.stores.sqlite.schema import TABLES
from assistant_kit.worker_thread import Waiter, wake

W = TypeVar("W")

_STORE_ENDS_IT: Final = "the store ends this transaction, together with the record of what was done in it"
_NO_SCRIPT: Final = f"a script commits first, and {_STORE_ENDS_IT}: execute one statement at a time"

_TABLE_IS_SECOND: Final = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    }
)
"""Actions of which SQLite tells the table as the second argument (https://sqlite.org/c3ref/c_alter_table.html)."""


class LentConnection(sqlite3.Connection):
    """A connection inside a transaction of the store. It reaches all tables but the store's own.

    `in_use` is held during each call into SQLite, so that it is never closed under one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.in_use: RLock = RLock()
        self._cursors: WeakSet[_LentCursor] = WeakSet()

    def cursor(self, factory: object = None) -> Any:
        """Return a cursor of our own, whatever the factory."""
        del factory
        with self.in_use:
            made = super().cursor(_LentCursor)
            self._cursors.add(made)
            return made

    def take_back(self) -> None:
        """Let the store do what it wants, and nobody else anything; called while `in_use` is held."""
        for cursor in list(self._cursors):
            cursor.close()  # a result that was not read to its end would keep the commit back
        self.set_authorizer(None)
        self.row_factory: Any = None
        self.text_factory = str

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Execute a statement by a cursor of our own."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """Execute a statement for each of the parameters, by a cursor of our own."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, _script: str, /) -> NoReturn:
        """Refuse: it would commit first."""
        raise sqlite3.ProgrammingError(_NO_SCRIPT)

    def commit(self) -> NoReturn:
        """Refuse: the transaction is the store's."""
        raise sqlite3.ProgrammingError(_STORE_ENDS_IT)

    def rollback(self) -> NoReturn:
        """Refuse: the transaction is the store's."""
        raise sqlite3.ProgrammingError(_STORE_ENDS_IT)

    def __enter__(self) -> NoReturn:
        raise sqlite3.ProgrammingError(f"{_STORE_ENDS_IT}: use the connection without 'with'")

    def blobopen(self, *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: what is written through a blob could not be stopped."""
        raise sqlite3.NotSupportedError("blobs cannot be opened in a transaction of the store: use execute")


class _LentCursor(sqlite3.Cursor):
    """A cursor whose connection is not closed under it."""

    def __init__(self, connection: sqlite3.Connection, /) -> None:
        super().__init__(connection)
        self._in_use = cast("LentConnection", connection).in_use

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        with self._in_use:
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        rows = list(parameters)  # whatever makes them may take its time, but not while nobody else can get in
        with self._in_use:
            return super().executemany(sql, rows)

    def executescript(self, _script: str, /) -> NoReturn:
        raise sqlite3.ProgrammingError(_NO_SCRIPT)

    def fetchone(self) -> Any:
        with self._in_use:
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        with self._in_use:
            return super().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        with self._in_use:
            return super().fetchall()

    def __next__(self) -> Any:
        with self._in_use:
            return super().__next__()


def _may(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None, /) -> int:
    """Say whether a borrower may do something. SQLite asks when a statement is prepared."""
    table = second if action in _TABLE_IS_SECOND else first
    forbidden = action == sqlite3.SQLITE_TRANSACTION or table in TABLES
    return sqlite3.SQLITE_DENY if forbidden else sqlite3.SQLITE_OK


class Loan(Generic[W]):
    """One transaction: `serve` runs in a thread of the file, the rest in the task of the borrower.

    `connect` opens a connection; `turn` is held as long as the transaction lasts; `finish` writes what the borrower
    gives back, and tells whether to commit.
    """

    def __init__(
        self, connect: Callable[[], LentConnection], turn: Lock, finish: Callable[[sqlite3.Connection, W], bool]
    ) -> None:
        self._connect = connect
        self.turn = turn
        self._finish = finish
        self._served = Waiter()
        self._lent: LentConnection | None = None
        self._back: SimpleQueue[W | None] = SimpleQueue()
        self.is_open: bool = True

    async def borrow(self) -> sqlite3.Connection | None:
        """Wait for the connection; None when it could not be had, and the thread's error tells why."""
        await self._served.wait()
        lent, self._lent = self._lent, None
        return lent

    def give_back(self, write: W | None) -> None:
        """Let the thread end the transaction with this write, or undo it; only the first call counts."""
        self.is_open = False
        self._back.put(write)

    def serve(self) -> None:
        """Run the transaction from its beginning to its end. Raises sqlite3.Error, and what `finish` raises."""
        with self.turn:
            try:
                connection = self._connect()
                try:
                    self._lend(connection)
                finally:
                    with connection.in_use:
                        connection.take_back()
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
                        connection.close()
            finally:
                wake([self._served])

    def _lend(self, connection: LentConnection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.set_authorizer(_may)
        self._lent = connection
        wake([self._served])
        write = self._back.get()
        if write is None:
            return
        with connection.in_use:  # from here on nobody else gets in
            connection.take_back()
            if self._finish(connection, write):
                connection.execute("COMMIT")

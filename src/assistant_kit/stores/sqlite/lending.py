"""Lending a connection to whoever writes in the same transaction as the journal, and taking it back for good.

A function that outlives its time limit goes on in its thread, and nothing can stop it. On the connection that it was
lent it can neither end the transaction nor do anything once that is over: what somebody still has in hand then is
closed. What nobody has in hand, and is as it was, is lent again: to open a connection costs more than a transaction.
"""

import secrets
import sqlite3
import sys
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from queue import SimpleQueue
from threading import Lock, RLock
from typing import Any, Final, Generic, NoReturn, TypeVar, cast
from weakref import WeakSet

from assistant_kit.stores.sqlite.place import Opened
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


_LEAVES_A_TRACE: Final = frozenset({sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
"""Actions that may change the connection itself; so does all that is done in its database `temp`."""

_FACTORIES: Final = frozenset({"row_factory", "text_factory"})
_STATEMENTS: Final = frozenset({"cursor", "execute", "executemany", "in_transaction", "total_changes"})
_LEAVES_NONE: Final = _FACTORIES | _STATEMENTS | {"borrower", "commit", "cursors", "in_use", "rollback"}
"""What of a connection may be used without a trace: its functions, limits, hooks and their like would stay."""


class Borrower:
    """What a borrower may do, and whether it has done what outlasts the transaction on its connection.

    `is_in`: what is done is the borrower's. What is not is marked: SQLite asks nothing of a statement that was prepared
    before, and no text of a borrower is that of the store.
    """

    __slots__ = ("_mark", "is_in", "left_a_trace")

    def __init__(self) -> None:
        self.is_in: bool = False
        self.left_a_trace: bool = False
        self._mark = f"/*{secrets.token_hex(8)}*/"

    def marked(self, sql: str) -> str:
        """Return the text by which a statement is prepared and found again."""
        return sql if self.is_in else self._mark + sql

    def may(
        self, action: int, first: str | None, second: str | None, database: str | None, _trigger: str | None, /
    ) -> int:
        """Say whether something may be done. SQLite asks when a statement is prepared."""
        if not self.is_in:
            return sqlite3.SQLITE_OK
        if action in _LEAVES_A_TRACE or database == "temp":
            self.left_a_trace = True
        table = second if action in _TABLE_IS_SECOND else first
        forbidden = action == sqlite3.SQLITE_TRANSACTION or table in TABLES
        return sqlite3.SQLITE_DENY if forbidden else sqlite3.SQLITE_OK


class LentConnection(sqlite3.Connection):
    """A connection inside a transaction of the store. It reaches all tables but the store's own.

    `in_use` is held during each call into SQLite, so that it is never closed under one.
    """

    in_use: RLock
    borrower: Borrower
    cursors: "WeakSet[_LentCursor]"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        vars(self).update(in_use=RLock(), borrower=Borrower(), cursors=WeakSet[_LentCursor]())
        # It stays: to set another one would have all statements prepared anew.
        super().set_authorizer(self.borrower.may)

    def __getattribute__(self, name: str) -> Any:
        """Note that something was reached for by which a borrower may change the connection."""
        if name not in _LEAVES_NONE and not name.startswith("__"):
            self.borrower.left_a_trace = True
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        """Note that something was set that stays; the factories are set back."""
        if name not in _FACTORIES:
            self.borrower.left_a_trace = True
        super().__setattr__(name, value)

    def cursor(self, factory: object = None) -> Any:
        """Return a cursor of our own, whatever the factory."""
        del factory
        with self.in_use:
            made = super().cursor(_LentCursor)
            self.cursors.add(made)
            return made

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
        lent = cast("LentConnection", connection)
        self._in_use, self._borrower = lent.in_use, lent.borrower

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        with self._in_use:
            return super().execute(self._borrower.marked(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        rows = list(parameters)  # whatever makes them may take its time, but not while nobody else can get in
        with self._in_use:
            return super().executemany(self._borrower.marked(sql), rows)

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


def _lend(connection: LentConnection) -> None:
    """Let a borrower do what it may."""
    connection.borrower.left_a_trace = False
    connection.borrower.is_in = True


def _take_back(connection: LentConnection) -> None:
    """Let the store do what it wants; called while `in_use` is held, and nobody else gets in before it is closed."""
    for cursor in list(connection.cursors):
        cursor.close()  # a result that was not read to its end would keep the commit back
    if connection.borrower.left_a_trace:
        sqlite3.Connection.set_authorizer(connection, None)  # there may be one of the borrower's
    connection.borrower.is_in = False
    connection.row_factory = None
    connection.text_factory = str


class Lender:
    """The connection that one borrower after another gets, opened when needed. Used by one thread only."""

    def __init__(self, opened: Opened[LentConnection]) -> None:
        self._opened = opened
        self._connection: LentConnection | None = None
        self._alone = 0

    def ready(self) -> LentConnection:
        """Return the connection to what stands at the path now. Raises as `Opened.connect`."""
        if self._connection is not None and not self._opened.stands():
            self.close()
        if self._connection is None:
            self._connection = self._opened.connect()
            self._alone = sys.getrefcount(self._connection)
        return self._connection

    def end(self, finish: Callable[[sqlite3.Connection], bool] | None) -> None:
        """End the transaction: commit if `finish` says so, undo it if there is none. Raises what `finish` raises.

        The connection is closed when somebody may still use it or has changed it, or anything failed. Nobody else gets
        in from the time when it is taken back.
        """
        if self._connection is None:
            return
        with self._connection.in_use:
            keep = False
            try:
                _take_back(self._connection)
                if finish is not None:
                    self._finish(self._connection, finish)
                    keep = not self._connection.borrower.left_a_trace and self._is_nobodys()
            finally:
                if not keep:
                    self.close()

    @staticmethod
    def _finish(connection: LentConnection, finish: Callable[[sqlite3.Connection], bool]) -> None:
        connection.execute("COMMIT" if finish(connection) else "ROLLBACK")

    def _is_nobodys(self) -> bool:
        """Tell whether nobody but this object can reach the connection: no variable, cursor or thread."""
        return sys.getrefcount(self._connection) == self._alone and not weakref.getweakrefcount(self._connection)

    def check(self) -> None:
        """See that what was written stands at the path. Raises StoreUnavailable."""
        self._opened.check()

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            sqlite3.Connection.close(connection)


class Loan(Generic[W]):
    """One transaction: `serve` runs in a thread of the file, the rest in the task of the borrower.

    `turn` is held as long as the transaction lasts; `finish` writes what the borrower gives back, and tells whether
    to commit.
    """

    def __init__(self, turn: Lock, finish: Callable[[sqlite3.Connection, W], bool]) -> None:
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

    def serve(self, lender: Lender) -> None:
        """Run the transaction from its beginning to its end. Raises sqlite3.Error, and what `finish` raises."""
        with self.turn:
            try:
                write = self._lend(lender.ready())
            except BaseException:
                lender.end(None)
                wake([self._served])
                raise
            finish: Callable[[sqlite3.Connection], bool] | None = None
            if write is not None:
                finish = partial(self._finish_with, write)
            self._lent = None
            lender.end(finish)

    def _finish_with(self, write: W, connection: sqlite3.Connection) -> bool:
        return self._finish(connection, write)

    def _lend(self, connection: LentConnection) -> W | None:
        """Lend the connection, and return what the borrower gives back."""
        connection.execute("BEGIN IMMEDIATE")
        _lend(connection)
        self._lent = connection
        wake([self._served])
        return self._back.get()

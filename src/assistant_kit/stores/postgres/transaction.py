"""Transactions that somebody else's code takes part in, and the connections that are kept for them."""

import socket
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Lock, Thread
from typing import Final, TypeVar

import psycopg
from anyio import CancelScope, CapacityLimiter, to_thread
from psycopg.rows import TupleRow

from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.failures import ADVICE
from assistant_kit.stores.postgres.lending import CLEAN, Lendable, LentSession
from assistant_kit.stores.postgres.server import Server, lasting

T = TypeVar("T")

_LETTING_GO: Final = 1.0  # seconds until a thread that was cut off has noticed it
_RESTED: Final = 1.0  # seconds without use behind which the way to the server may have gone unnoticed


class Lending:
    """The connections for transactions: as many as are needed at once, of which up to `most` are kept.

    One that has rested for `rested` seconds is asked whether its server is there before it is lent.
    """

    def __init__(self, server: Server, *, most: int, rested: float = _RESTED) -> None:
        self.server: Server = server
        self._most = most
        self._rested = rested
        self._idle: list[Lendable] = []
        self._lock = Lock()
        self._clean = b";".join((CLEAN, f"SELECT {lasting(server.timeouts.maintenance)}".encode()))
        weakref.finalize(self, _close_all, self._idle)

    @asynccontextmanager
    async def loan(self) -> AsyncGenerator["Loan"]:
        """Lend a connection, and undo at the end what was not committed. Raises StoreError, StoreVolatile."""
        loan = Loan(self)
        try:
            if (fresh := self._fresh()) is not None:
                loan.hold(fresh)
            else:
                await in_thread(self.server, lambda: loan.hold(self._ready()))
            yield loan
        finally:
            if not loan.is_over:
                with CancelScope(shield=True):
                    await in_thread(self.server, loan.end)

    def put(self, lendable: Lendable) -> None:
        """Keep one, or close it."""
        with self._lock:
            if len(self._idle) < self._most:
                self._idle.append(lendable)
                return
        lendable.close()

    def close(self) -> None:
        """Close those that are kept, and keep no more."""
        with self._lock:
            self._most = 0
            _close_all(self._idle)

    def _fresh(self) -> Lendable | None:
        """Return the one that was used last, if its server is there for all that one can know without asking."""
        with self._lock:
            if self._idle and not self._idle[-1].has_rested(self._rested) and self._idle[-1].session.lives:
                return self._idle.pop()
        return None

    def _ready(self) -> Lendable:
        """Return one whose server answers: one that is kept, or a new one."""
        while True:
            with self._lock:
                found = self._idle.pop() if self._idle else None
            if found is None:
                session = self.server.connect(writes=True, transaction=self.server.timeouts.maintenance)
                return Lendable(session, self._clean)
            if found.session.lives and found.answers(patience=self.server.timeouts.network):
                return found
            found.close()


def _close_all(idle: list[Lendable]) -> None:
    while idle:
        idle.pop().close()


class Loan:
    """One transaction. What goes on in a thread may outlast its task: `is_over` says that somebody has ended it."""

    def __init__(self, lending: Lending) -> None:
        self._lending = lending
        self._lock = Lock()
        self._held: tuple[Lendable, LentSession] | None = None
        self.is_over: bool = False

    def hold(self, lendable: Lendable) -> None:
        """Begin with a connection, unless the task was cancelled meanwhile."""
        with self._lock:
            if not self.is_over:
                self._held = lendable, lendable.lend()
                return
        lendable.close()

    def lent(self) -> LentSession:
        """Return the connection for the borrower."""
        return self._both()[1]

    async def finish(self, append: Callable[[Session], TupleRow]) -> TupleRow:
        """Take the connection back, and append; commit if the answer is `done`. Raises StoreError."""
        return await in_thread(self._lending.server, lambda: self._finish(append))

    def _finish(self, append: Callable[[Session], TupleRow]) -> TupleRow:
        lendable, lent = self._both()
        if not lent.lock.acquire(timeout=lent.patience):
            raise psycopg.OperationalError("a thread of the borrower does not let go of the connection")
        try:
            lendable.take_back(lent)
            answer = append(lendable.session)
            if answer[0] == "done" and lendable.commit(lent):
                self._give_back(lendable)
        finally:
            lent.lock.release()
        return answer

    def _give_back(self, lendable: Lendable) -> None:
        with self._lock:
            if self.is_over:
                return  # `end` is about to close it
            self.is_over = True
        self._lending.put(lendable)

    def end(self) -> None:
        """Close the connection. A thread that still uses it, after its task was cancelled, can do nothing more."""
        with self._lock:
            is_over, self.is_over = self.is_over, True
            held = self._held
        if is_over or held is None:
            return
        lendable, lent = held
        if not lent.lock.acquire(blocking=False):
            _cut(lendable.session)
            if not lent.lock.acquire(timeout=_LETTING_GO):
                Thread(target=_close_at_last, args=held, daemon=True).start()
                return
        _close(lendable, lent)

    def _both(self) -> tuple[Lendable, LentSession]:
        assert self._held is not None  # noqa: S101  (nobody has a loan before it holds a connection)
        return self._held


async def in_thread(server: Server, function: Callable[[], T]) -> T:
    """Run a function in a thread that it need not wait for. Raises StoreError for what Postgres does not do."""
    try:
        return await to_thread.run_sync(function, limiter=CapacityLimiter(1))
    except psycopg.Error as error:
        raise ADVICE.store_error(error, server.place) from error


def _close_at_last(lendable: Lendable, lent: LentSession) -> None:
    lent.lock.acquire()
    _close(lendable, lent)


def _close(lendable: Lendable, lent: LentSession) -> None:
    """Close a connection. The lock of what was lent is held."""
    try:
        lent.end()
        lendable.close()
    finally:
        lent.lock.release()


def _cut(connection: Session) -> None:
    """Break the way to the server under a connection that another thread is using: it gets an error, no more data.

    Closing it would free memory that the other thread works with.
    """
    closed = suppress(psycopg.OperationalError, OSError)
    with closed, socket.socket(fileno=socket.dup(connection.fileno())) as way:
        way.shutdown(socket.SHUT_RDWR)

"""A connection that is lent to whoever writes in the same transaction as the journal, and taken back for good.

What is lent is an object of its own for each transaction, on a way to the server that is kept: to make one costs more
than a transaction. The object is of no use when the transaction is over. What was left in the session is cleaned away.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

import psycopg
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn

from assistant_kit.postgres_session import Session

T = TypeVar("T")

_STORE_ENDS_IT: Final = "the store ends this transaction, together with the record of what was done in it"
_OVER: Final = "the transaction is over, and with it this connection"

CLEAN: Final = b"""
    SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL; UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES
"""
"""DISCARD ALL, but for the plans of our own functions; that could not be sent together with a COMMIT.

Source: https://www.postgresql.org/docs/current/sql-discard.html
"""


class LentSession(Session):
    """A connection inside a transaction of the store, which begins with the first statement. `is_touched` says so."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.prepare_threshold = None
        self.is_touched: bool = False
        self._is_over = False

    def end(self) -> None:
        """Let nobody do anything by it any more; called while its lock is held, so that nothing is under way."""
        self._is_over = True
        self.pgconn: PGconn = _nowhere()

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer. Raises psycopg.OperationalError when there is none in time, or all is over."""
        if self._is_over:  # a cursor that was made before
            raise psycopg.OperationalError(_OVER)
        self.is_touched = True
        return super().wait(gen, *args, **kwargs)

    @contextmanager
    def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002  (as in psycopg)
    ) -> Generator[psycopg.Transaction]:
        """Make a savepoint: were it the first statement, psycopg would begin a transaction here, and commit it."""
        if self.info.transaction_status == TransactionStatus.IDLE:
            self.execute(b"")
        with super().transaction(savepoint_name, force_rollback) as savepoint:
            yield savepoint

    def commit(self) -> NoReturn:
        """Refuse: the transaction is the store's."""
        raise psycopg.ProgrammingError(_STORE_ENDS_IT)

    def rollback(self) -> NoReturn:
        """Refuse: the transaction is the store's."""
        raise psycopg.ProgrammingError(_STORE_ENDS_IT)

    def set_autocommit(self, value: bool) -> NoReturn:  # noqa: FBT001  (as in psycopg)
        """Refuse: what is done would last whatever becomes of the journal."""
        del value
        raise psycopg.ProgrammingError(_STORE_ENDS_IT)


class Lendable:
    """A session of the store, which one borrower after another gets. `clean` cleans it; `process` is whose it is."""

    def __init__(self, session: Session, clean: bytes) -> None:
        self.session: Session = session
        self._clean = clean
        self.process: int = os.getpid()
        self._hearing = session.pgconn.notice_handler, session.pgconn.notify_handler
        self._used_at = time.monotonic()
        self._alone = sys.getrefcount(session.pgconn)

    def lend(self) -> LentSession:
        """Return a connection for one transaction, as psycopg makes it."""
        lent = LentSession(self.session.pgconn)
        lent.patience = self.session.patience
        return lent

    def take_back(self, lent: LentSession) -> None:
        """Let the store go on where `lent` was, and nobody else; called while its lock is held.

        Raises psycopg.Error when it is in the middle of something.
        """
        lent.end()
        pgconn = self.session.pgconn
        pgconn.notice_handler, pgconn.notify_handler = self._hearing
        if pgconn.pipeline_status != PipelineStatus.OFF or pgconn.transaction_status == TransactionStatus.ACTIVE:
            raise psycopg.ProgrammingError("a pipeline or a COPY was left open in a transaction of the store")

    def commit(self, lent: LentSession) -> bool:
        """Commit, and clean the session in the same round trip; tell whether it can be lent again.

        It cannot when somebody may still use the way to the server, beneath psycopg's connection or by a cursor.
        Raises psycopg.Error when it could not be committed.
        """
        steps = [b"COMMIT"] if self.session.info.transaction_status != TransactionStatus.IDLE else []
        steps += [self._clean] if lent.is_touched else []
        is_clean = self._sent(b";".join(steps)) if steps else True
        self._used_at = time.monotonic()
        return is_clean and sys.getrefcount(self.session.pgconn) == self._alone

    def _sent(self, statements: bytes) -> bool:
        """Execute statements; False when one fails behind the first, for which psycopg.Error is raised."""
        session = self.session
        with session.lock:
            session.pgconn.send_query(statements)
            first, *others = session.wait(execute(session.pgconn))
        if first.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(first)
        return all(other.status != ExecStatus.FATAL_ERROR for other in others)

    def close(self) -> None:
        """Close the session; a process that was forked leaves it to its parent."""
        if self.process == os.getpid():
            self.session.close()

    def has_rested(self, seconds: float) -> bool:
        """Tell whether it has not been used for so long."""
        return time.monotonic() - self._used_at >= seconds

    def answers(self, *, patience: float) -> bool:
        """Ask the server whether it is there."""
        usual, self.session.patience = self.session.patience, patience
        try:
            self.session.execute(b"SELECT 1")
        except psycopg.Error:
            return False
        self.session.patience = usual
        return True


@cache
def _nowhere() -> PGconn:
    """Return what leads to no server."""
    way = psycopg.pq.PGconn.connect_start(b"=")  # which is no address: nothing is tried
    way.finish()
    return way

"""One connection in use by one thread: opened when needed, and again when it was lost."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus

from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.server import Cursor

_IN_DOUBT = (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN)


class Link:
    """A connection that is made by `connect`, and waits `patience` seconds for an answer. Used by one thread only."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self.patience: float = math.inf

    def ready(self) -> Session:
        """Return the connection, opened if there is none that lives. Raises what connecting raises."""
        if self._session is None or not self._session.lives:
            self.close()
            self._session = self._connect()
        self._session.patience = self.patience
        return self._session

    def execute(self, statement: bytes, values: Sequence[Any] = ()) -> Cursor:
        """Send a statement on the connection that is ready. Raises psycopg.Error."""
        return cast("Session", self._session).execute(statement, values, binary=True)

    def undo(self) -> bool:
        """Leave a transaction that has failed; False when the connection is lost with it."""
        if self._session is not None and self._session.info.transaction_status not in _IN_DOUBT:
            with suppress(psycopg.Error):
                self._session.rollback()
                return True
        self.close()
        return False

    def close(self) -> None:
        """Close the connection; the server undoes what is not committed."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

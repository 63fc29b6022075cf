"""A connection for one transaction that somebody else's code takes part in: of no use once it is over."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from threading import Thread
from typing import Final, TypeVar

import psycopg
from anyio import CancelScope, CapacityLimiter, to_thread

from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.failures import ADVICE
from assistant_kit.stores.postgres.server import Server

T = TypeVar("T")

_LETTING_GO: Final = 1.0  # seconds until a thread that was cut off has noticed it


@asynccontextmanager
async def transaction(server: Server) -> AsyncGenerator[Session]:
    """Open a connection, and undo at the end what was not committed. Raises StoreError, StoreVolatile."""
    connection = await in_thread(server, partial(_connect, server))
    try:
        yield connection
    finally:
        with CancelScope(shield=True):
            await in_thread(server, partial(_end, connection))


async def in_thread(server: Server, function: Callable[[], T]) -> T:
    """Run a function in a thread that it need not wait for. Raises StoreError for what Postgres does not do."""
    try:
        return await to_thread.run_sync(function, limiter=CapacityLimiter(1))
    except psycopg.Error as error:
        raise ADVICE.store_error(error, server.place) from error


def _connect(server: Server) -> Session:
    connection = server.connect(writes=True, transaction=server.timeouts.maintenance)
    connection.autocommit = False
    connection.patience = server.timeouts.patience(server.timeouts.statement)
    return connection


def _end(connection: Session) -> None:
    """Close the connection. A thread that still uses it, after its task was cancelled, can do nothing more with it."""
    if not connection.lock.acquire(blocking=False):
        _cut(connection)
        if not connection.lock.acquire(timeout=_LETTING_GO):
            Thread(target=_close_at_last, args=(connection,), daemon=True).start()
            return
    _close(connection)


def _close_at_last(connection: Session) -> None:
    connection.lock.acquire()
    _close(connection)


def _close(connection: Session) -> None:
    """Close a connection whose lock is held."""
    try:
        connection.close()
    finally:
        connection.lock.release()


def _cut(connection: Session) -> None:
    """Break the way to the server under a connection that another thread is using: it gets an error, no more data.

    Closing it would free memory that the other thread works with.
    """
    closed = suppress(psycopg.OperationalError, OSError)
    with closed, socket.socket(fileno=socket.dup(connection.fileno())) as way:
        way.shutdown(socket.SHUT_RDWR)

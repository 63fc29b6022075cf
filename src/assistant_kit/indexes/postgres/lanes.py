"""Threads with a connection each, through which an index reaches its server."""

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from assistant_kit.errors import StoreUnavailable
from assistant_kit.indexes.postgres.failures import ADVICE
from assistant_kit.indexes.postgres.server import Server
from assistant_kit.postgres_session import Session
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

T = TypeVar("T")

_CLOSING: Final = 10.0  # seconds beyond the timeout that what still waits may take


class Lanes:
    """The connections of one index: half of them for writes, half for reads. No error of psycopg gets out of here.

    All writes of an owner take the same one, and a read the one for which fewest wait. `prepare` is given each new
    connection.
    """

    def __init__(self, server: Server, *, connections: int, prepare: Callable[[Session], None]) -> None:
        writers = connections // 2
        self._server = server
        self._writers = [_Lane(server, prepare, f"writer-{n}", writes=True) for n in range(writers)]
        self._readers = [_Lane(server, prepare, f"reader-{n}", writes=False) for n in range(connections - writers)]
        for lane in self._all():
            weakref.finalize(self, lane.worker.end).atexit = False

    async def write(self, owner: str, action: Callable[[Session], T]) -> T:
        """Do something that changes data, and return what came of it when it is durable.

        Raises StoreError, ConfigurationError, and what the action raises of ours.
        """
        return await self._run(self._writers[hash(owner) % len(self._writers)], action)

    async def read(self, action: Callable[[Session], T]) -> T:
        """Do something that only reads. Raises as `write` does."""
        return await self._run(min(self._readers, key=lambda lane: lane.waiting), action)

    async def aclose(self) -> None:
        """Do what still waits, and end the threads. A second call does nothing."""
        for lane in self._all():
            await lane.worker.stop(patience=self._server.timeout + _CLOSING)

    def _all(self) -> Iterable["_Lane"]:
        return (*self._readers, *self._writers)

    async def _run(self, lane: "_Lane", action: Callable[[Session], T]) -> T:
        job: Job[_Link, T] = Job(lambda link: action(link.ready()))
        lane.waiting += 1
        try:
            lane.worker.submit(job)
            return await job.outcome()
        except psycopg.Error as error:
            raise ADVICE.store_error(error, self._server.place) from error
        except Ended as error:
            raise StoreUnavailable(f"{self._server.place}: {error}") from error
        finally:
            lane.waiting -= 1


class _Lane:
    """A thread with one connection. `waiting` is how many tasks wait for it; threads may miscount, and then recover."""

    def __init__(self, server: Server, prepare: Callable[[Session], None], name: str, *, writes: bool) -> None:
        link = _Link(partial(_open, server, prepare, writes=writes))
        duties = Duties(connect=lambda: link, perform=_perform, close=_Link.close, breaks=())
        self.worker: Worker[_Link] = Worker(f"index-{name}", duties)
        self.waiting: int = 0


class _Link:
    """A connection that is opened when it is needed, and again when it was lost. Used by one thread only."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._session: Session | None = None

    def ready(self) -> Session:
        """Return the connection, opened if there is none that lives. Raises what connecting raises."""
        if self._session is None or not self._session.lives:
            self.close()
            self._session = self._connect()
        return self._session

    def undo(self) -> None:
        """Give the connection up if what has failed has left it in the middle of something."""
        if self._session is not None and self._session.info.transaction_status != TransactionStatus.IDLE:
            self.close()

    def close(self) -> None:
        """Close the connection; the server undoes what is not committed."""
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _open(server: Server, prepare: Callable[[Session], None], *, writes: bool) -> Session:
    session = server.connect(writes=writes)
    try:
        prepare(session)
    except BaseException:
        session.close()
        raise
    return session


def _perform(link: _Link, group: Group[_Link]) -> None:
    """Do what waits, in its order; each fails by itself."""
    for job in group:
        try:
            job.run(link)
        except Exception as error:  # noqa: BLE001  (whatever it is belongs to the task that waits)
            link.undo()
            job.fail(error)

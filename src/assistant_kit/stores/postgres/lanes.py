"""Threads with a connection each: what waits in one goes out together, in one transaction and one round trip."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, cast

import psycopg
from psycopg.rows import TupleRow

from assistant_kit.errors import StoreUnavailable
from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.failures import ADVICE
from assistant_kit.stores.postgres.link import Link
from assistant_kit.stores.postgres.server import Cursor, Server, Timeouts, limit
from assistant_kit.stores.postgres.values import texts
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

_ALONE: Final = 0.1  # part of the time for locks that is left when a group has failed: each of it may wait for one


class Call(Job[Link, Cursor | None]):
    """A call of one of our functions. `key` is the user and the conversation whose row it locks.

    With `apart` it locks more than that, or takes long, and has a transaction to itself. `chained` says that it locks
    the audit chain of the user, too.
    """

    __slots__ = ("apart", "chained", "key")

    def __init__(
        self,
        action: Callable[[Link], Cursor | None],
        *,
        key: tuple[str, str] = ("", ""),
        apart: bool = False,
        chained: bool = False,
    ) -> None:
        super().__init__(action)
        self.key: tuple[str, str] = key
        self.apart: bool = apart
        self.chained: bool = chained


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are made: how long they may take, how the audit chains of users are locked."""

    times: Timeouts
    lock_chains: bytes


class Lanes:
    """The connections of one store: half of them for writes, half for reads.

    All writes of a user go the same way, so that they wait for no lock of each other. Nothing of psycopg's errors gets
    out of here.
    """

    def __init__(
        self, server: Server, *, connections: int, lock_chains: bytes, prepare: Callable[[Session], object]
    ) -> None:
        writers, readers = connections // 2, connections - connections // 2
        manner = Manner(server.timeouts, lock_chains)
        self._server = server
        self._writers = [_Lane(server, prepare, manner, f"writer-{n}", writes=True) for n in range(writers)]
        self._readers = [_Lane(server, prepare, manner, f"reader-{n}", writes=False) for n in range(readers)]
        self._turn = count()
        for lane in (*self._writers, *self._readers):
            weakref.finalize(self, lane.worker.end).atexit = False

    async def write(self, call: Call) -> TupleRow:
        """Make a call that writes, and return its row when it is durable. Raises StoreError, ConfigurationError."""
        (row,) = await self._run(self._writer(call), call)
        return row

    async def read(self, action: Callable[[Link], Cursor]) -> list[TupleRow]:
        """Make a call that only reads, and return its rows. Raises StoreError, ConfigurationError."""
        return await self._run(self._readers[next(self._turn) % len(self._readers)], Call(action))

    def write_later(self, call: Call) -> None:
        """Make a call after those that wait, if the store is not closed; nobody waits for it."""
        with suppress(Ended):
            self._writer(call).worker.submit(call)

    async def aclose(self) -> None:
        """Do what still waits, and end the threads. A second call does nothing."""
        for lane in (*self._readers, *self._writers):
            await lane.worker.stop(patience=lane.patience)

    def _writer(self, call: Call) -> "_Lane":
        return self._writers[hash(call.key[0]) % len(self._writers)]

    async def _run(self, lane: "_Lane", call: Call) -> list[TupleRow]:
        try:
            lane.worker.submit(call)
            return cast("Cursor", await call.outcome()).fetchall()
        except psycopg.Error as error:
            raise ADVICE.store_error(error, self._server.place) from error
        except Ended as error:
            raise StoreUnavailable(f"{self._server.place}: {error}") from error


class _Lane:
    """A thread with one connection. `patience` is how many seconds what waits for it may take."""

    def __init__(
        self, server: Server, prepare: Callable[[Session], object], manner: Manner, name: str, *, writes: bool
    ) -> None:
        link = Link(partial(_open, server, prepare, writes=writes))
        duties = Duties(connect=lambda: link, perform=partial(_perform, manner), close=Link.close, breaks=())
        self.worker = Worker(f"postgres-{name}", duties)
        self.patience = server.timeouts.connect + server.timeouts.patience(server.timeouts.transaction)


def _open(server: Server, prepare: Callable[[Session], object], *, writes: bool) -> Session:
    session = server.connect(writes=writes, transaction=server.timeouts.transaction)
    try:
        prepare(session)
    except BaseException:
        session.close()
        raise
    return session


def _perform(manner: Manner, link: Link, group: Group[Link]) -> None:
    """Make the calls of a group, in their order; each fails by itself."""
    seconds = manner.times.maintenance
    at_leisure = limit("statement_timeout", "transaction_timeout", seconds=seconds)
    together: list[Call] = []
    for call in cast("Sequence[Call]", group):
        if call.apart:
            _share(manner, link, together)
            together = []
            link.patience = manner.times.patience(seconds)
            _made(link, [call], [at_leisure])
        else:
            together.append(call)
    _share(manner, link, together)


def _share(manner: Manner, link: Link, calls: list[Call]) -> None:
    """Make calls in one transaction, or each in its own when one of them has failed.

    All processes take locks in one order, first of chains and then of conversations: so none waits for another in a
    circle.
    """
    calls.sort(key=lambda call: call.key)
    link.patience = manner.times.patience(manner.times.transaction)
    if calls and not _made(link, calls, [], manner.lock_chains):
        hurry = limit("lock_timeout", seconds=manner.times.lock * _ALONE)
        for call in calls:
            _made(link, [call], [hurry])


def _made(link: Link, calls: Sequence[Call], settings: Sequence[bytes], lock_chains: bytes = b"") -> bool:
    """Make calls in one transaction; False when one of several has failed, and nothing of any is kept."""
    try:
        _transact(link, calls, settings, lock_chains)
    except Exception as error:  # noqa: BLE001  (whatever it is belongs to the tasks that wait)
        if link.undo() and len(calls) > 1:
            return False
        for call in calls:
            call.fail(error)
    return True


def _transact(link: Link, calls: Sequence[Call], settings: Sequence[bytes], lock_chains: bytes) -> None:
    session = link.ready()
    if len(calls) == 1 and not settings:
        calls[0].run(link)  # a statement is a transaction of its own
        return
    users = sorted({call.key[0] for call in calls if call.chained})
    with session.pipeline():
        link.execute(b"BEGIN")
        for setting in settings:
            link.execute(setting)
        if users and lock_chains:
            link.execute(lock_chains, (texts(users),))
        for call in calls:
            call.run(link)
        link.execute(b"COMMIT")

"""A place for shared state that is reached through a thread, whichever driver the thread uses."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.protocols.shared_state import Change, T
from assistant_kit.shared_states._combining import Connection, Update, perform
from assistant_kit.shared_states._rules import check_owner, check_spot
from assistant_kit.worker_thread import Duties, Ended, Group, Job, Worker

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How a place is reached. `name` is part of the thread's, `place` tells it from others, without a password.

    `meaning` turns an error of a type in `foreign` into one of ours. What waits when the place is closed may take
    `patience` seconds.
    """

    name: str
    place: str
    connect: Callable[[], Connection]
    foreign: type[Exception] | tuple[type[Exception], ...]
    meaning: Callable[[Any, str], StoreError]
    patience: float


class ThreadedState:
    """Shared state behind a thread with one connection, opened when it is first used and again when it broke.

    So asyncio and trio, and several event loops at once, share an object, and what waits in any of them shares a write.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        duties = Duties(
            connect=partial(_connect, backend),
            perform=partial(_perform, backend.foreign),
            close=_close,
            breaks=Exception,  # errors of changes never get as far: it is the way to the place that is in doubt
        )
        self._worker: Worker[Connection] = Worker(f"state-{backend.name}", duties)
        weakref.finalize(self, self._worker.end).atexit = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend.place!r})"

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        """Replace a value by what `change` makes of it; that runs in a thread. Raises StoreError, InputError."""
        check_spot(owner, key)
        return await self._ask(Update((owner, key), change))

    async def values(self, owner: str) -> Mapping[str, bytes]:
        """Return all values of an owner by their keys. Raises StoreError, InputError."""
        check_owner(owner)
        return await self._ask(Job(lambda connection: connection.values(owner)))

    async def erase(self, owner: str) -> None:
        """Delete all values of an owner. Raises StoreError, InputError."""
        check_owner(owner)
        await self._ask(Job(lambda connection: connection.erase(owner)))

    async def aclose(self) -> None:
        """Do what still waits, and end the thread. A second call does nothing."""
        await self._worker.stop(patience=self._backend.patience)

    async def _ask(self, job: Job[Connection, R]) -> R:
        place = self._backend.place
        try:
            self._worker.submit(job)
        except Ended as error:
            raise StoreUnavailable(f"{place}: {error}") from error
        try:
            return await job.outcome()
        except _Foreign as error:
            raise self._backend.meaning(error.cause, place) from error.cause


class _Foreign(Exception):
    """An error of a driver, told from the same error raised by a change, which is none of ours."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


def _connect(backend: Backend) -> Connection:
    try:
        return backend.connect()
    except backend.foreign as error:
        raise _Foreign(error) from error


def _perform(
    foreign: type[Exception] | tuple[type[Exception], ...], connection: Connection, group: Group[Connection]
) -> None:
    try:
        perform(connection, group)
    except foreign as error:
        raise _Foreign(error) from error


def _close(connection: Connection) -> None:
    connection.close()

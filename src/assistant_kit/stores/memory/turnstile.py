"""Lets tasks in one at a time, in the order in which they come, whatever thread and event loop they belong to."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from threading import Lock

from anyio import Event, move_on_after
from anyio.lowlevel import current_token

from assistant_kit.event_loops import call_soon

PATIENCE = 20.0
"""Seconds after which others need not wait any longer for the one inside: it may be a task that nobody goes on with."""


class Turnstile:
    """The first in the queue is inside, for `patience` to twice `patience` seconds if others wait.

    So it keeps order and spares most collisions, but excludes nothing.
    """

    __slots__ = ("_lock", "_patience", "_queue")

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._lock = Lock()
        self._queue: deque[_Place] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait until all that came before have left; leave at the end."""
        place = _Place()
        with self._lock:
            self._queue.append(place)
            if self._queue[0] is place:
                place.first.set()
        try:
            await self._wait(place)
            yield
        finally:
            self._leave(place, place.loop)

    async def _wait(self, place: "_Place") -> None:
        while not place.first.is_set():
            with self._lock:
                inside = next(iter(self._queue), place)
            with move_on_after(self._patience) as waiting:
                await place.first.wait()
            if waiting.cancelled_caught:
                self._leave(inside, place.loop)

    def _leave(self, place: "_Place", loop: object) -> None:
        with self._lock:
            with suppress(ValueError):  # others have let it leave already
                self._queue.remove(place)
            first = self._queue[0] if self._queue else None
        if first is not None:
            first.let_in(loop)


class _Place:
    """A place in the queue, made by the task that stands there."""

    __slots__ = ("first", "loop")

    def __init__(self) -> None:
        self.loop = current_token().native_token
        self.first = Event()

    def let_in(self, loop: object) -> None:
        """Let the task go on; called in the event loop `loop`."""
        if loop is self.loop:
            self.first.set()
        else:
            call_soon(self.loop, self.first.set)

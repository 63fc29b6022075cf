"""Synchronous functions in worker threads, which nobody can stop: what comes of one that was given up is not lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """How a function has ended: with a value in a tuple, or none when it raised.

    `stopped` if it let itself be stopped, or never began.
    """

    value: tuple[T] | None
    stopped: bool = False


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    late: Callable[[Ended[T]], None]
    lock: Lock = field(default_factory=Lock)
    begun: bool = False
    given_up: bool = False
    ended: Ended[T] | None = None

    def begin(self) -> bool:
        """Tell, in the thread, whether the function is still wanted."""
        with self.lock:
            self.begun = not self.given_up
            return self.begun

    def end(self, ended: Ended[T]) -> None:
        """Take the end, in the thread; tell it if nobody waits for it any more."""
        with self.lock:
            self.ended = ended
            tell = self.given_up
        if tell:
            self.late(ended)

    def give_up(self) -> None:
        """Wait no longer, in the event loop; tell the end if it came at this very moment."""
        with self.lock:
            self.given_up = True
            ended: Ended[T] | None = self.ended if self.begun else Ended(None, stopped=True)
        if ended is not None:
            self.late(ended)


class _NotWanted(Exception):
    """Ends a thread that came too late to begin."""


async def in_thread(function: Callable[[], T], late: Callable[[Ended[T]], None]) -> T:
    """Run a function in a worker thread and return what it returns.

    A cancelled call does not wait for its thread: `late` then gets the end of the function, in whatever thread.
    """
    call = _Call(late)

    def work() -> tuple[T]:
        if not call.begin():  # pragma: no cover  (given up between the queue of the threads and this line)
            raise _NotWanted
        try:
            value = (function(),)
        except BaseException as error:
            call.end(Ended(None, stopped=not isinstance(error, Exception)))
            raise
        call.end(Ended(value))
        return value

    try:
        # In a tuple, because trio takes a coroutine that comes out of a thread for a mistake.
        (value,) = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        call.give_up()
        raise
    return value

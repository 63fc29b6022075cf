"""An event loop for asyncio in virtual time: waiting takes no time, and a seed decides who comes first.

It runs in one thread and knows no sockets, files or threads: what needs them has to be replaced in a simulation.
"""

import asyncio  # noqa: TID251  (a loop for asyncio is made of its parts)
import heapq
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, TypeVar, cast

from assistant_kit.testing.simulation.process import Held, Process, Task, current_process, process_in

T = TypeVar("T")
EPOCH = 1_800_000_000.0
"""Seconds since 1970 at which virtual time begins."""

_LIVELOCK = 50_000  # callbacks in a row without time going by: somebody waits by asking again and again


class SimulationStuck(RuntimeError):
    """Nothing is left that could happen, or time stands still although much happens."""


class _Callback(asyncio.Handle):
    """A callback with the process it belongs to, and the number of the task that it carries on."""

    __slots__ = ("process", "task")
    process: Process | None
    task: int


class _Timer(asyncio.TimerHandle):
    """The same, at a time."""

    __slots__ = ("process", "task")
    process: Process | None
    task: int


class _NumberedTask(asyncio.Task[Any]):
    """A task with its number, in the order in which tasks were made."""

    number: int = -1


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in an order that `seed` decides; time passes when there is nothing else to do.

    `simulate` runs one. Without processes anyio takes it as well:
    `anyio.run(main, backend_options={"loop_factory": lambda: VirtualLoop(seed)})`.
    """

    _stopping: bool  # of the base class

    def __init__(self, seed: int) -> None:
        """Begin at time 0."""
        super().__init__()
        self.callbacks: int = 0
        self._now = 0.0
        self._random = random.Random(seed).random  # noqa: S311  (a seed is the point)
        self._soon: list[_Callback | _Timer] = []
        self._timers: list[_Timer] = []
        self._numbers = 0
        self._idle = 0
        self.set_task_factory(cast("Any", self._make_task))

    def time(self) -> float:
        """Return the virtual time, in seconds from the beginning."""
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Call a function in the next round."""
        handle = _Callback(callback, args, self, context)
        handle.process = process_in(context)
        handle.task = getattr(getattr(callback, "__self__", None), "number", -1)
        self._soon.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function at a time."""
        handle = _Timer(when, callback, args, self, context)
        handle.process = process_in(context)
        handle.task = -1
        heapq.heappush(self._timers, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function after some seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def start(self, coroutine: Coroutine[Any, Any, None], context: Context) -> Task:
        """Run a coroutine in a task of its own; for processes."""
        return self.create_task(coroutine, context=context)

    def call_in(self, context: Context, function: Callable[[], object]) -> None:
        """Call a function soon, in a context; for processes."""
        self.call_soon(function, context=context)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a plain function after some seconds, outside of every process."""
        self.call_later(seconds, function, context=Context())

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call a function in the next round; there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def again(self, held: list[Held]) -> None:
        """Call what was held back; for processes."""
        self._soon += cast("list[_Callback | _Timer]", held)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **how: Any) -> Task:
        task = _NumberedTask(coroutine, loop=loop, **how)
        self._numbers += 1
        task.number = self._numbers
        process = process_in(how.get("context"))
        if process is not None:
            process.owns(task)
        return task

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it is passed over in its time."""

    def _run_once(self) -> None:
        self._advance()
        ready, self._soon = self._soon, []
        if len(ready) > 1:
            # Sets of tasks are in an order of addresses, which differs from run to run: this one does not.
            ready.sort(key=_task_of)
        chance = self._random
        while left := len(ready):
            index = int(chance() * left) if left > 1 else 0
            handle = ready[index]
            ready[index] = ready[-1]
            ready.pop()
            if handle.cancelled():
                continue
            process = handle.process
            if process is None or process.admits(handle):
                self.callbacks += 1
                handle._run()  # noqa: SLF001  (only event loops may, and this is one)

    def _advance(self) -> None:
        timers = self._timers
        while timers and (timers[0].cancelled() or _is_of_the_dead(timers[0])):
            heapq.heappop(timers)
        self._idle += 1
        if not self._soon and not self._stopping:
            if not timers:
                raise SimulationStuck("nothing is left that could happen: a task waits for a thread, or for nobody")
            self._idle = 0
            self._now = max(self._now, timers[0].when())
        if self._idle > _LIVELOCK:
            raise SimulationStuck("time stands still: a task waits by asking again and again")
        while timers and timers[0].when() <= self._now:
            self._soon.append(heapq.heappop(timers))


def _task_of(handle: _Callback | _Timer) -> int:
    return handle.task


def _is_of_the_dead(handle: _Timer) -> bool:
    return handle.process is not None and handle.process.state == "dead"


def later(seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a function after some virtual seconds, whatever becomes of the process that asks for it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "this is for simulations"  # noqa: S101
    loop.later(seconds, lambda: loop.start(function(), Context()))


def simulate(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], *, seed: int) -> T:
    """Run `main` in virtual time, with everything that is left to chance decided by `seed`, and return its result.

    While it runs, `os.urandom` and the functions of `random` follow the seed, and `time.time`, `time.monotonic` the
    virtual clock, with the skew of the process that asks. So one simulation runs at a time, and nothing beside it.
    """
    loop = VirtualLoop(seed)
    try:
        # Not by a runner, which would wait at the end for tasks of processes that are dead.
        with _controlled(loop, seed):
            context = copy_context()
            context.run(_announce)
            return loop.run_until_complete(loop.create_task(main(loop), context=context))
    finally:
        loop.close()


def _announce() -> None:
    """Tell sniffio, if it is there, what `anyio.run` tells it: to find out by itself takes a tenth of a simulation."""
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None:
        sniffio.current_async_library_cvar.set("asyncio")


@contextmanager
def _controlled(loop: VirtualLoop, seed: int) -> Generator[None]:
    def wall_clock() -> float:
        process = current_process()
        return EPOCH + loop.time() + (0.0 if process is None else process.clock_skew)

    before = (os.urandom, time.time, time.monotonic)
    chances = random.getstate()
    random.seed(seed)
    os.urandom = random.Random(seed).randbytes  # noqa: S311  (the same)
    time.time = wall_clock
    time.monotonic = loop.time
    try:
        yield
    finally:
        os.urandom, time.time, time.monotonic = before
        random.setstate(chances)

"""Counts the awaits of everything that runs below a function, and cancels it at one of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, cast

import anyio
import sniffio
import trio

T = TypeVar("T")

How = Literal["scope", "native"]
"""By a cancel scope; or, on asyncio, by `Task.cancel()`, as web frameworks do it: once, and not again."""


@dataclass(slots=True)
class Steps:
    """How often a task has begun to wait; `at` a number of times, `then` is called."""

    at: int
    then: Callable[[], object]
    taken: int = 0

    def take(self) -> None:
        self.taken += 1
        if self.taken == self.at:
            self.then()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of it: whether it was cancelled at all before it ended, and whether it came to its end all the same."""

    made: bool
    finished: bool


async def cancelled_at(step: int, function: Callable[[], Awaitable[object]], *, how: How = "scope") -> Cancelled:
    """Run a function in a task of its own and cancel it when it, or a task of its own, waits for the `step`-th time.

    Returns when all of it has ended; what it raises is raised.
    """
    if how == "native":
        return await _natively(step, function)
    finished, scope = False, anyio.CancelScope()

    async def run() -> None:
        nonlocal finished
        with scope:
            await function()
            finished = True

    with counting(Steps(step, scope.cancel)):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
    return Cancelled(scope.cancel_called, finished)


async def _natively(step: int, function: Callable[[], Awaitable[object]]) -> Cancelled:
    async def run() -> None:
        await function()

    asked = list[bool]()
    with counting(Steps(step, lambda: asked.append(task.cancel()))):
        task = asyncio.create_task(run())
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return Cancelled(any(asked), not task.cancelled())


@contextmanager
def counting(steps: Steps) -> Generator[Steps]:
    """Count the steps of tasks that begin in this block; on trio, those of all tasks."""
    if sniffio.current_async_library() == "trio":
        instrument = _Instrument(steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield steps
        finally:
            trio.lowlevel.remove_instrument(instrument)
        return
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    make = cast("Callable[..., Any]", before or _plain_task)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        return make(loop, _counted(coroutine, steps), **options)

    loop.set_task_factory(cast("Any", factory))
    try:
        yield steps
    finally:
        loop.set_task_factory(before)


class _Instrument(trio.abc.Instrument):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self._steps.take()


def _plain_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


async def _counted(coroutine: Coroutine[Any, Any, T], steps: Steps) -> T:
    return await _Counted(coroutine, steps)


@dataclass(frozen=True, slots=True)
class _Counted(Awaitable[T]):
    """Drives a coroutine and counts how often it waits."""

    coroutine: Coroutine[Any, Any, T]
    steps: Steps

    def __await__(self) -> Generator[Any, Any, T]:
        go_on = partial(self.coroutine.send, None)
        while True:
            try:
                awaited = go_on()
            except StopIteration as end:
                return end.value
            self.steps.take()
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001  (thrown into the coroutine)
                go_on = partial(self.coroutine.throw, error)
            else:
                go_on = partial(self.coroutine.send, sent)

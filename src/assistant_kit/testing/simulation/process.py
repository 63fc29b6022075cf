"""Processes of a simulation: what was started in one can be killed or frozen at any await, as by the kernel.

A killed process never goes on: no `finally` block of it runs, as none does after `kill -9`. A frozen one goes on where
it was when it is woken, with all its timers late: a zombie, if others have taken its work meanwhile.
"""

import sys
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import Any, Generic, Literal, Protocol, TypeVar

import anyio

T = TypeVar("T")
_PROCESS: ContextVar["Process | None"] = ContextVar("simulated_process", default=None)
_UNDYING: list[Any] = []
_MOST_CLOSINGS = 20  # of one coroutine, each of which one more `finally` block may survive


class ProcessDied(ConnectionResetError):
    """The process that worked on a request was killed."""


class Held(Protocol):
    """A callback that waits for its process to be woken."""

    def cancel(self) -> None:
        """Give it up."""
        ...


class Task(Protocol):
    """A task as far as a process has to do with it."""

    def get_coro(self) -> Any:
        """Return the coroutine that runs in it."""
        ...

    def done(self) -> bool:
        """Tell whether it has ended."""
        ...


class Loop(Protocol):
    """What a process needs of its event loop."""

    def time(self) -> float:
        """Return the virtual time."""
        ...

    def start(self, coroutine: Coroutine[Any, Any, None], context: Context) -> Task:
        """Run a coroutine in a task of its own."""
        ...

    def call_in(self, context: Context, function: Callable[[], object]) -> None:
        """Call a function soon, in a context."""
        ...

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function after a while, outside of every process."""
        ...

    def again(self, held: list[Held]) -> None:
        """Call what was held back."""
        ...


class Reply(Generic[T]):
    """What a process will answer: the value that a function returns, or what it raises, or `ProcessDied`."""

    def __init__(self) -> None:
        """Make one that is not known yet."""
        self._known = anyio.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self._known.is_set()

    async def wait(self) -> T:
        """Wait for the answer. Who waits may give up; another may wait again."""
        await self._known.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]

    def give(self, value: T) -> None:
        """Answer with a value."""
        if not self.known:
            self._value.append(value)
            self._known.set()

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if not self.known:
            self._error = error
            self._known.set()


class Process:
    """A process on its simulated machine.

    `fuse` counts down the callbacks that run in it, and `disturb` is called at zero: there it may be killed, be frozen
    and get a new fuse. `clock_skew` is by how many seconds its `time.time()` is ahead. `context` holds the context
    variables that everything in it begins with.
    """

    def __init__(
        self,
        name: str,
        loop: Loop,
        *,
        disturb: Callable[["Process"], None] | None = None,
        fuse: int = 0,
        clock_skew: float = 0.0,
    ) -> None:
        """Make a process in which nothing runs yet."""
        self.name = name
        self.fuse: int = fuse
        self.clock_skew = clock_skew
        self.state: Literal["running", "frozen", "dead"] = "running"
        self.woken_at: float | None = None
        self.context: Context = copy_context()
        self.context.run(_PROCESS.set, self)
        self._loop = loop
        self._disturb = disturb
        self._held: list[Held] = []
        self._tasks: list[Task] = []
        self._replies: list[Reply[Any]] = []

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> Reply[T]:
        """Run a function in a task of the process. A dead process answers with `ProcessDied`."""
        reply = Reply[T]()
        if self.state == "dead":
            reply.fail(ProcessDied(self.name))
            return reply

        async def answer() -> None:
            try:
                reply.give(await function())
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  (whoever waits for the reply gets it)
                reply.fail(error)

        self.owes(reply)
        self._loop.start(answer(), self.context.copy())
        return reply

    def owes(self, reply: Reply[Any]) -> None:
        """Let a reply fail with `ProcessDied` when the process is killed before it is given."""
        self._replies = [*(other for other in self._replies if not other.known), reply]

    def tell(self, function: Callable[[], object]) -> None:
        """Call a plain function in the process, such as the `cancel` of a scope."""
        self._loop.call_in(self.context.copy(), function)

    def kill(self) -> None:
        """End the process here and now. Who waits for a reply of it learns that the connection is gone."""
        self.state = "dead"
        self._held.clear()
        replies, self._replies = self._replies, []
        for reply in replies:
            reply.fail(ProcessDied(self.name))

    def freeze(self, seconds: float) -> None:
        """Stop the process for a while. Does nothing unless it is running."""
        if self.state == "running":
            self.state = "frozen"
            self._loop.later(seconds, self.wake)

    def wake(self) -> None:
        """Let a frozen process go on."""
        if self.state == "frozen":
            self.state = "running"
            self.woken_at = self._loop.time()
            held, self._held = self._held, []
            self._loop.again(held)

    def admits(self, callback: Held) -> bool:
        """Tell whether a callback may run now; for the event loop. A frozen process keeps it for later."""
        if self.state == "running":
            self.fuse -= 1
            if self.fuse or self._disturb is None:
                return True
            self._disturb(self)
        if self.state == "frozen":
            self._held.append(callback)
        return self.state == "running"

    def owns(self, task: Task) -> None:
        """Note a task that was started in this process; for the event loop."""
        self._tasks.append(task)

    def dispose(self) -> None:
        """Take apart what has not ended, after the loop has.

        Python runs `finally` blocks of what it collects; here they run where nothing they do has any effect.
        """
        self.state = "dead"
        tasks, self._tasks = self._tasks, []
        with _unheard():
            for task in tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
                    _close(task.get_coro())
                _forget(task)
            tasks.clear()


def current_process() -> Process | None:
    """Return the process in which this code runs; None outside of all."""
    return _PROCESS.get()


def process_in(context: Context | None) -> Process | None:
    """Return the process to which a context belongs."""
    return _PROCESS.get() if context is None else context.get(_PROCESS)


@contextmanager
def _unheard() -> Generator[None]:
    """Let nobody hear of coroutines that were never awaited or would not end: that is what has happened."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook


def _forget(task: Task) -> None:
    """Let anyio forget a task that has not ended: what it knows of it would keep it for ever."""
    backend: Any = sys.modules.get("anyio._backends._asyncio")
    getattr(backend, "_task_states", dict[Task, Any]()).pop(task, None)


def _close(coroutine: Any) -> None:
    if getcoroutinestate(coroutine) == CORO_CREATED:
        # What it would have run has not begun either, and would complain of it when it is collected.
        for value in coroutine.cr_frame.f_locals.values():
            inner = getattr(value, "_coro", value)  # anyio wraps what runs in a task group
            if iscoroutine(inner):
                _close(inner)
    for _ in range(_MOST_CLOSINGS):
        with suppress(BaseException):
            coroutine.close()
            return
    _UNDYING.append(coroutine)  # Python would complain of it when it is collected

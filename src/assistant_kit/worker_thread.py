"""A thread that owns one connection and does what tasks of any event loop ask of it.

Whatever waits is taken at once and done as one group: a group of writes costs one commit, or one round trip. Drivers
that know no event loop serve every event loop this way.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeAlias, TypeVar, cast

from anyio import Event, move_on_after
from anyio.lowlevel import current_token

from assistant_kit.event_loops import call_soon

T_co = TypeVar("T_co", covariant=True)
C = TypeVar("C")

MAX_GROUP = 500
"""Jobs done as one group: with more, the first of them would wait long for its commit."""


class Waiter:
    """A task that waits for the thread. Made in that task, which may belong to any event loop."""

    __slots__ = ("_done", "loop")

    def __init__(self) -> None:
        self.loop: object = current_token().native_token
        self._done = Event()

    async def wait(self) -> None:
        """Wait until the thread wakes this task."""
        await self._done.wait()

    def wake(self) -> None:
        """Let the task go on. Called in its event loop."""
        self._done.set()


class Job(Waiter, Generic[C, T_co]):
    """Something to do with a connection of type C."""

    __slots__ = ("_action", "_error", "_result")

    def __init__(self, action: Callable[[C], T_co]) -> None:
        super().__init__()
        self._action = action
        self._result: T_co | None = None
        self._error: Exception | None = None

    def run(self, connection: C) -> None:
        """Do it, in the thread. Raises what the action raises."""
        self._result = self._action(connection)

    def fail(self, error: Exception) -> None:
        """Let the task raise `error`, whatever the action did."""
        self._error = error

    @property
    def result(self) -> T_co | None:
        """What the action returned; None when it has not run or was undone."""
        return None if self._error else self._result

    async def outcome(self) -> T_co:
        """Wait for the thread, and return or raise what came of it."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return cast("T_co", self._result)


Group: TypeAlias = Sequence[Job[C, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties(Generic[C]):
    """What a worker does, all in its thread.

    `connect` opens the connection; it is tried again for the next group if it failed. `perform` runs the jobs of a
    group and lets each fail by itself; what it raises fails the whole group. An error of a type in `breaks` leaves
    the connection in doubt: it is closed by `close`, and the next group gets a new one.
    """

    connect: Callable[[], C]
    perform: Callable[[C, Group[C]], None]
    close: Callable[[C], None]
    breaks: type[Exception] | tuple[type[Exception], ...]


class Ended(Exception):
    """The thread takes no more jobs; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Stands in the queue behind the last job. `waiter` waits for the end of the thread."""

    waiter: Waiter | None = None


_Queue: TypeAlias = SimpleQueue[Job[C, object] | _End]


class Worker(Generic[C]):
    """A thread with one connection; both begin when they are first needed. `name` is the thread's, after ours."""

    def __init__(self, name: str, duties: Duties[C]) -> None:
        self._name = f"assistant_kit-{name}"
        self._duties = duties
        self._queue: _Queue[C] = SimpleQueue()
        self._lock = Lock()  # nothing is put into the queue behind its end
        self._thread: Thread | None = None
        self._closed = False

    def submit(self, job: Job[C, object]) -> None:
        """Let the thread do `job` after all that was submitted before. Raises Ended."""
        with self._lock:
            if self._closed:
                raise Ended("this store was closed: make a new one")
            if self._thread is None:
                # A daemon: a store that nobody closed does not keep the interpreter from ending.
                thread = Thread(target=_work, args=(self._queue, self._duties), name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            elif not self._thread.is_alive():
                # SQLite forbids it: the child would believe that it holds the file locks of its parent.
                raise Ended("this store was in use when the process forked: fork before its first use, or spawn")
            self._queue.put(job)

    def end(self) -> None:
        """Let the thread end after all that was submitted, without waiting for it."""
        self._queue.put(_End())

    async def stop(self, *, patience: float) -> None:
        """Wait until the thread has done all that was submitted and has ended, for `patience` seconds at most."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._thread is None:
                return
            waiter = Waiter()
            self._queue.put(_End(waiter=waiter))
        with move_on_after(patience, shield=True):
            await waiter.wait()
            self._thread.join()


def _work(queue: _Queue[C], duties: Duties[C]) -> None:
    """Run as the thread: do groups of jobs until the end comes."""
    connection: C | None = None
    end: _End | None = None
    while end is None:
        group, end = _take(queue)
        if group:
            connection = _do(duties, connection, group)
            wake(group)
        del group  # nothing is kept alive while this thread waits
    if connection is not None:
        duties.close(connection)
    if end.waiter is not None:
        wake([end.waiter])


def _take(queue: _Queue[C]) -> tuple[list[Job[C, object]], _End | None]:
    """Wait for jobs, and return all that are there, and the end if it is among them."""
    group: list[Job[C, object]] = []
    while True:
        item = queue.get()
        if isinstance(item, _End):
            return group, item
        group.append(item)
        if len(group) == MAX_GROUP or queue.empty():
            return group, None


def _do(duties: Duties[C], connection: C | None, group: Group[C]) -> C | None:
    """Do a group, opening the connection when there is none. Return the connection, if it is still good."""
    try:
        if connection is None:
            connection = duties.connect()
        duties.perform(connection, group)
    except Exception as error:  # noqa: BLE001  (whatever it is belongs to the tasks that wait)
        for job in group:
            job.fail(error)
        if connection is not None and isinstance(error, duties.breaks):
            duties.close(connection)
            return None
    return connection


def wake(waiters: Iterable[Waiter]) -> None:
    """Let tasks go on: one call into each event loop, and nothing waits for it to be carried out."""
    by_loop: defaultdict[object, list[Waiter]] = defaultdict(list)
    for waiter in waiters:
        by_loop[waiter.loop].append(waiter)
    for loop, tasks in by_loop.items():
        call_soon(loop, _WakeAll(tasks))


class _WakeAll:
    __slots__ = ("_tasks",)

    def __init__(self, tasks: list[Waiter]) -> None:
        self._tasks = tasks

    def __call__(self) -> None:
        for task in self._tasks:
            task.wake()

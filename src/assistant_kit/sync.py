"""The same assistant without `await`: for scripts, Flask views and notebooks.

One facade over an event loop in a thread of its own, not a second implementation.
"""

import atexit
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, Unpack

from anyio.from_thread import BlockingPortal, start_blocking_portal

from assistant_kit.events import Event
from assistant_kit.messages import UserInput
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream

T = TypeVar("T")
OutputT = TypeVar("OutputT")


class Runs(Protocol[OutputT]):
    """What can run turns asynchronously: an assistant, or one of its conversations."""

    def run(self, message: UserInput, **options: Unpack[RunOptions]) -> Coroutine[Any, Any, Result[OutputT]]:
        """Run a turn."""
        ...

    def stream(self, message: UserInput, **options: Unpack[RunOptions]) -> RunStream[OutputT]:
        """Run a turn and read its events."""
        ...


class Portal:
    """An event loop in a thread, started when it is first needed, with an assistant open in it."""

    def __init__(self, opened: AbstractAsyncContextManager[object]) -> None:
        """Take what is entered in the loop while it runs."""
        self._opened = opened
        self._lock = Lock()
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    def get(self) -> BlockingPortal:
        """Return the running portal, started if it was not."""
        with self._lock:
            if self._portal is None:
                with ExitStack() as stack:
                    portal = stack.enter_context(start_blocking_portal())
                    stack.enter_context(portal.wrap_async_context_manager(self._opened))
                    self._stack = stack.pop_all()
                    self._portal = portal
                atexit.register(self.close)
            return self._portal

    def close(self) -> None:
        """Close the assistant in the loop and end its thread; the next use starts another."""
        with self._lock:
            stack, self._stack, self._portal = self._stack, None, None
        if stack is not None:
            atexit.unregister(self.close)
            stack.close()

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the loop and wait for it; interrupting the wait cancels it."""
        future = self.get().start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


class Opens(Runs[OutputT], AbstractAsyncContextManager[object], Protocol[OutputT]):
    """What runs turns and is entered before."""


def sync_assistant(assistant: "Opens[OutputT]") -> "SyncAssistant[OutputT]":
    """Return the facade without `await` of an assistant, with a loop of its own."""
    return SyncAssistant(assistant, Portal(assistant))


class SyncStream(Generic[OutputT]):
    """The events of a run, as they come; a context manager and iterator."""

    def __init__(self, portal: Portal, stream: RunStream[OutputT]) -> None:
        """Take the stream and the loop to run it in."""
        self._portal = portal
        self._stream = stream
        self._entered: AbstractContextManager[object] | None = None

    def __enter__(self) -> Self:
        """Start the run."""
        self._entered = self._portal.get().wrap_async_context_manager(self._stream)
        self._entered.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the run if it still goes on."""
        assert self._entered is not None  # noqa: S101  (entered)
        self._entered.__exit__(None, None, None)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over the events; one hop to the loop brings all that have arrived."""
        while events := self._portal.call(self._stream.arrived):
            yield from events

    def result(self) -> Result[OutputT]:
        """Read what is left and return the result. Raises the error of the run."""
        return self._portal.call(self._stream.result)


class SyncAssistant(Generic[OutputT]):
    """An assistant without `await`.

    As a context manager it frees its thread at the end; otherwise the end of the program does.
    """

    def __init__(self, runs: Runs[OutputT], portal: Portal) -> None:
        """Take the assistant and the loop that it runs in."""
        self._runs = runs
        self._portal = portal

    def __enter__(self) -> Self:
        """Open the assistant."""
        self._portal.get()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the assistant."""
        self.close()

    def close(self) -> None:
        """Close the assistant and end its thread."""
        self._portal.close()

    def run(self, message: UserInput, **options: Unpack[RunOptions]) -> Result[OutputT]:
        """Run a turn, as `Assistant.run` does."""
        return self._portal.call(lambda: self._runs.run(message, **options))

    def stream(self, message: UserInput, **options: Unpack[RunOptions]) -> SyncStream[OutputT]:
        """Run a turn and read its events, as `Assistant.stream` does."""
        return SyncStream(self._portal, self._runs.stream(message, **options))

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run anything else of the assistant in its loop and wait: `sync.call(lambda: conversation.history())`."""
        return self._portal.call(function)

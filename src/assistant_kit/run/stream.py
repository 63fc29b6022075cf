"""A run that is read while it goes on."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from anyio.lowlevel import checkpoint_if_cancelled

from assistant_kit.background import Background
from assistant_kit.errors import AssistantKitError, InputError, StoreError
from assistant_kit.events import Error, Event
from assistant_kit.run.emitter import EventBuffer
from assistant_kit.run.restored_events import KeptEvents, ReadEvents
from assistant_kit.run.result import Result

OutputT = TypeVar("OutputT")


class RunStream(Generic[OutputT]):
    """The events of a run, as they come; an asynchronous context manager and iterator.

    The last event is `complete` or `error`; after an `error` the iteration raises it. Leaving early stops the work,
    closes the turn and frees the conversation before `async with` ends.
    """

    def __init__(
        self,
        start: Callable[[Callable[[Event], None]], Awaitable[Result[OutputT]]],
        restored: ReadEvents | None = None,
    ) -> None:
        """Take what runs the turn and tells its events to a function; `restored` puts private values back."""
        self._start = start
        self._buffer = EventBuffer()
        self._restored: ReadEvents | None = restored
        self._ready: deque[Event] = deque()
        self._unrestored: StoreError | None = None
        self._task: Background | None = None
        self._result: Result[OutputT] | None = None
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        """Start the run."""
        if self._task is not None:
            message = "a stream is entered once: call stream() again for another run"
            raise InputError(message)
        self._task = Background(self._work)
        await self._task.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the run if it still goes on, and wait until it is closed."""
        assert self._task is not None  # noqa: S101  (entered)
        await self._task.__aexit__(kind, error, trace)

    def __aiter__(self) -> Self:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Raises the error of the run after its `error` event."""
        if self._task is None:
            message = "enter the stream first: async with assistant.stream(…) as run"
            raise InputError(message)
        event = await (self._buffer.get() if self._restored is None else self._next_restored(self._restored))
        if event is not None:
            return event
        if self._error is not None:
            raise self._error
        if self._result is None:  # the run has heard of the cancellation before its reader
            await checkpoint_if_cancelled()
        raise StopAsyncIteration

    def as_kept(self) -> Self:
        """Give events as they may be kept, with pseudonyms in place of private values; to be said before it is entered.

        Each can be restored by itself (`Conversation.restored`). Without a masker they are what they are.
        """
        if self._restored is not None:
            self._restored = KeptEvents(self._restored.masks)
        return self

    async def arrived(self) -> Sequence[Event]:
        """Wait for the next event and return it with all that have arrived; an empty sequence ends the stream."""
        try:
            first = await self.__anext__()
        except StopAsyncIteration:
            return ()
        if self._restored is None:
            return (first, *self._buffer.take())
        for event in self._buffer.take():
            await self._restore(self._restored, event)
        events = (first, *self._ready)
        self._ready.clear()
        return events

    async def result(self) -> Result[OutputT]:
        """Read what is left and return the result. Raises the error of the run."""
        async for _ in self:
            pass
        assert self._result is not None  # noqa: S101  (a stream without error ends with a result)
        return self._result

    async def _next_restored(self, restored: ReadEvents) -> Event | None:
        while not self._ready:
            event = await self._buffer.get()
            await self._restore(restored, event)
            if event is None:
                break
        return self._ready.popleft() if self._ready else None

    async def _restore(self, restored: ReadEvents, event: Event | None) -> None:
        """Restore an event, or with None what was held back of a text that was cut off."""
        if self._unrestored is not None:
            raise self._unrestored
        try:
            self._ready += await (restored.rest() if event is None else restored.take(event))
        except StoreError as error:
            self._unrestored = error  # an event is missing: nothing is shown behind it
            raise

    async def _work(self) -> None:
        try:
            self._result = await self._start(self._buffer.put)
        except AssistantKitError as error:
            self._error = error
            self._buffer.put(Error(error=error))
        except Exception as error:  # noqa: BLE001  (raised to the reader)
            self._error = error
        finally:
            self._buffer.close()

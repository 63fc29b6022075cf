"""What happens in a conversation, as server-sent events."""

from collections.abc import Sequence

import anyio
from starlette.types import Receive, Scope, Send

from assistant_kit.integrations.streaming import Entry, sse
from assistant_kit.integrations.streaming.response import EventResponse
from examples.flask_demo.orchestrator.errors import told_in_stream
from examples.flask_demo.orchestrator.metrics import WebMetrics


class Streams:
    """The streams that this process sends. They end when it does, and their readers go on elsewhere."""

    def __init__(self, metrics: WebMetrics) -> None:
        """Take where readers are counted."""
        self.metrics: WebMetrics = metrics
        self.stopped: bool = False
        self._waiting: set[anyio.CancelScope] = set()

    def stop(self) -> None:
        """End all streams, and those that still come."""
        self.stopped = True
        for scope in self._waiting:
            scope.cancel()

    def of(self, entries: sse.Arriving) -> "EventStream":
        """Return what sends entries of the event log: until they end, their reader leaves, or this process ends."""
        return EventStream(entries, self)

    async def arrived(self, entries: sse.Arriving) -> Sequence[Entry]:
        """Return the next entries; none when this process ends."""
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return () if self.stopped else await entries.arrived()
            finally:
                self._waiting.discard(scope)
        return ()


class EventStream(EventResponse):
    """Sends entries and is counted meanwhile."""

    def __init__(self, entries: sse.Arriving, streams: Streams) -> None:
        super().__init__(_UntilStopped(entries, streams), tell=told_in_stream)
        self._metrics = streams.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        self._metrics.read(1)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._metrics.read(-1)


class _UntilStopped:
    """Entries that end when this process does."""

    def __init__(self, entries: sse.Arriving, streams: Streams) -> None:
        self._entries = entries
        self._streams = streams

    async def arrived(self) -> Sequence[Entry]:
        return await self._streams.arrived(self._entries)

    async def aclose(self) -> None:
        await self._entries.aclose()

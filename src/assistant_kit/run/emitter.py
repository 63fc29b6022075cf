"""How events come from a turn to its reader."""

from collections import deque

from anyio import Event as Signal

from assistant_kit.events import Event


def ignore(event: Event) -> None:
    """Drop an event: nobody reads."""
    del event


class EventBuffer:
    """Events on their way to one reader, in order. Putting never waits: a buffer holds one turn at most."""

    def __init__(self) -> None:
        """Make an empty buffer."""
        self._events: deque[Event] = deque()
        self._signal: Signal | None = None
        self._closed = False

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        if self._signal is not None:
            self._signal.set()
            self._signal = None

    def close(self) -> None:
        """Say that no more events will come."""
        self._closed = True
        if self._signal is not None:
            self._signal.set()
            self._signal = None

    async def get(self) -> Event | None:
        """Return the next event; None when there will be none."""
        while not self._events:
            if self._closed:
                return None
            self._signal = Signal()
            await self._signal.wait()
        return self._events.popleft()

    def take(self) -> tuple[Event, ...]:
        """Return all events that have arrived, without waiting."""
        events = tuple(self._events)
        self._events.clear()
        return events

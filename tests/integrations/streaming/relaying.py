"""What the tests of the relay stand on: assistants, relays and logs that fail on demand."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from assistant_kit import Assistant, Settings, tool
from assistant_kit.errors import StoreUnavailable
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import Relay, RelaySettings
from assistant_kit.protocols.event_log import (
    Entry,
    EventLog,
    EventReader,
    EventWriter,
    Mark,
    NewEvent,
    Standing,
    UserEventLog,
)
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.store import Store
from assistant_kit.settings import LeaseSettings, RecoverySettings
from assistant_kit.stores.memory import MemoryStore

PATIENT = Settings(lease=LeaseSettings(ttl=5.0), recovery=RecoverySettings(backoff=0.01))
HERE = {"user": "u", "conversation": "c"}


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool(effect="once", needs_approval=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


class World:
    """A store and a log that several workers share."""

    def __init__(self, *, store: Store | None = None, log: EventLog | None = None) -> None:
        self.store: Store = store or MemoryStore()
        self.log: EventLog = log or MemoryEventLog()

    @asynccontextmanager
    async def worker(
        self, model: Model, *, tools: Sequence[Any] = (add, pay), every: float = 0.02, **options: Any
    ) -> AsyncGenerator[Relay[str]]:
        """Run a worker."""
        settings = RelaySettings(every=every, **options.pop("settings", {}))
        async with (
            Assistant(model, tools=tools, store=self.store, settings=PATIENT) as assistant,
            Relay(assistant, self.log, settings=settings, **options) as relay,
        ):
            yield relay


class FaultyLog:
    """A log that can be down: then everything fails, before or after it was done."""

    def __init__(self, log: EventLog | None = None) -> None:
        self.log: EventLog = log or MemoryEventLog()
        self.is_down = False
        self.loses_answers = 0
        self.standings = 0
        self.loses_stops = 0

    def for_user(self, user: str) -> UserEventLog:
        return _FaultyUserLog(self, self.log.for_user(user))

    async def erase_user(self, user: str) -> None:
        await self.log.erase_user(user)

    def export_user(self, user: str) -> Any:
        return self.log.export_user(user)

    async def aclose(self) -> None:
        await self.log.aclose()

    def check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the log is down")


class _FaultyUserLog:
    def __init__(self, faults: FaultyLog, log: UserEventLog) -> None:
        self._faults = faults
        self._log = log

    async def open(self, conversation: str, *, fence: int) -> EventWriter:
        self._faults.check()
        return _FaultyWriter(self._faults, await self._log.open(conversation, fence=fence))

    async def standing(self, conversation: str) -> Standing:
        self._faults.standings += 1
        self._faults.check()
        return await self._log.standing(conversation)

    async def read(self, conversation: str, *, after: int | None = None, limit: int = 1000) -> Sequence[Entry]:
        self._faults.check()
        return await self._log.read(conversation, after=after, limit=limit)

    def follow(self, conversation: str, *, after: int | None = None) -> EventReader:
        return _FaultyReader(self._faults, self._log.follow(conversation, after=after))

    async def ask_stop(self, conversation: str) -> None:
        self._faults.check()
        await self._log.ask_stop(conversation)

    async def forget(self, conversation: str) -> None:
        self._faults.check()
        await self._log.forget(conversation)


class _FaultyReader:
    def __init__(self, faults: FaultyLog, reader: EventReader) -> None:
        self._faults = faults
        self._reader = reader

    async def next(self) -> Sequence[Entry]:
        self._faults.check()
        return await self._reader.next()

    async def aclose(self) -> None:
        await self._reader.aclose()


class _FaultyWriter:
    def __init__(self, faults: FaultyLog, writer: EventWriter) -> None:
        self._faults = faults
        self._writer = writer
        self._known: Standing | None = None

    @property
    def standing(self) -> Standing:
        return self._writer.standing

    async def append(self, events: Sequence[NewEvent], *, mark: Mark | None = None) -> int:
        self._faults.check()
        return await self._writer.append(events, mark=mark)

    async def stop_asked(self) -> None:
        self._faults.check()
        if self._faults.loses_stops:
            self._faults.loses_stops -= 1
            raise StoreUnavailable("the connection is gone")
        await self._writer.stop_asked()

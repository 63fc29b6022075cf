"""Tells what happens in a conversation to its event log, in small batches, whatever becomes of the log."""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.entries import Measured, TurnStarted
from assistant_kit.errors import LeaseLost, StoreError
from assistant_kit.events import Complete, Event
from assistant_kit.integrations.streaming.failures import Tell
from assistant_kit.integrations.streaming.keeping import Keeping
from assistant_kit.integrations.streaming.shown import (
    ANSWER,
    MESSAGE,
    RecordedTurn,
    Said,
    Shown,
    message_data,
    recorded_turn,
    repair,
    shown_after,
    shown_of,
)
from assistant_kit.integrations.streaming.wire import data_of
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import RESET, Entry, EventWriter, Mark, NewEvent, UserEventLog
from assistant_kit.run.masking import Masks

_log = logging.getLogger("assistant_kit.streaming")

_WAITING: Final = 2000
"""Events that wait for a log that is down; when there are more, the turn is told anew once it is back."""
_BATCH: Final = 500
_FIRST, _LONGEST = 0.05, 2.0  # seconds between two attempts to write
_PIECES: Final = (*ANSWER, "reasoning_token")
_Step: TypeAlias = Callable[[], Awaitable[None]]
"""Takes in what was told. It does all or raises StoreError; then it is called again."""


@dataclass(slots=True)
class _Replay:
    """What the loop tells again when it goes on with a turn, and readers have been told already."""

    retractions: int = 0
    ended: Counter[str] = field(default_factory=Counter[str])
    skipped: set[str] = field(default_factory=set[str])

    def is_repeated(self, event: NewEvent, shown: Shown) -> bool:
        """Tell whether an event is one of those."""
        call_id = str(event.data.get("call_id", ""))
        call = shown.open_call(call_id)
        match event.name:
            case "text_retracted" if self.retractions > 0:
                self.retractions -= 1
            case "tool_request" if self.ended[call_id] > 0:
                self.ended[call_id] -= 1
                self.skipped.add(call_id)
            case "tool_result" if call_id in self.skipped:
                self.skipped.discard(call_id)
            case "tool_request" if call is not None and call.asked:
                pass
            case "approval_required" if call is not None and call.waits:
                pass
            case _:
                return False
        return True


def _replay_of(recorded: RecordedTurn) -> _Replay:
    calls = [call for step in recorded.steps for call in step.calls]
    return _Replay(
        retractions=sum(step.prompted for step in recorded.steps),
        ended=Counter(call.request.call_id for call in calls if call.result is not None),
    )


class Narrator:
    """Tells one conversation's turns, while this process runs them.

    To tell never waits: what is told is taken in by `run`, in its order, masked by `masks`, and written. It is kept
    until the turn is over, so that a log which has missed something is told anew. `still_held` raises LeaseLost unless
    the lease on the journal is held.
    """

    def __init__(
        self,
        log: UserEventLog,
        conversation: str,
        *,
        tell: Tell,
        still_held: Callable[[], Awaitable[None]],
        masks: Masks | None = None,
        said: Said | None = None,
    ) -> None:
        self._log = log
        self._still_held = still_held
        self._fence = 0
        self._conversation = conversation
        self._tell = tell
        self._said = said
        self._keeping = Keeping(masks)
        self._heard: deque[_Step] = deque()
        self._writer: EventWriter | None = None
        self._waiting: deque[tuple[NewEvent, Mark | None]] = deque()
        self._batch: tuple[list[NewEvent], Mark | None] | None = None
        self._told: list[tuple[NewEvent, Mark | None]] = []
        self._shown = Shown()
        self._replay: _Replay | None = None
        self._begins_after: int | None = None
        self._tells_anew = False
        self._silent = False
        self._closed = False
        self._wanted = anyio.Event()
        self._tried = anyio.Event()
        self._opened = anyio.Event()
        self._ended = anyio.Event()
        self.early: list[NewEvent] = []
        self.complete: Complete | None = None
        self.has_ended: bool = False

    @property
    def after(self) -> int | None:
        """The id before that of the `message` with which the turn begins; None while the log does not have it."""
        return self._begins_after

    def hear(self, event: Event) -> None:
        """Take an event of the run. The last one is kept back: see `end`."""
        if isinstance(event, Complete):
            self.complete = event
            self._add(self._rest)
        else:
            self._add(partial(self._take, event))

    def _add(self, step: _Step) -> None:
        if not self._silent:
            self._heard.append(step)
            self._wanted.set()

    async def _take(self, event: Event) -> None:
        self._pass_on(await self._keeping.take(event))

    async def _rest(self) -> None:
        self._pass_on(await self._keeping.rest())

    def _pass_on(self, events: Iterable[Event]) -> None:
        for event in events:
            new = NewEvent(name=event.kind, data=data_of(event, tell=self._tell))
            if self._told:
                self._say(new)
            else:
                self.early.append(new)  # nobody knows yet of which turn it is

    def _say(self, event: NewEvent, *, mark: Mark | None = None) -> None:
        """Take an event as it is written."""
        if self._replay is not None:
            if event.name in _PIECES:
                self._replay = None  # the model is asked: what comes now is new
            elif self._replay.is_repeated(event, self._shown):
                return
        self._shown = shown_after(self._shown, event.name, event.data)
        self._told.append((event, mark))
        self._put(event, mark)

    def begin(self, started: TurnStarted, extra: JsonObject | None = None, *, fence: int) -> None:
        """Say that a turn has begun, under a lease with this fence, and what was said while it was prepared.

        `extra` is what an application adds to its `message`, as it is written.
        """
        self._new_turn(fence)
        self._add(partial(self._begin, message_data(started, self._said), extra or {}))

    def go_on(self, entries: Sequence[Measured], *, fence: int) -> None:
        """Say what is missing of a turn with these entries, which is run again over them under a lease."""
        self._new_turn(fence)
        self._add(partial(self._go_on, recorded_turn(entries, self._said)))

    def _new_turn(self, fence: int) -> None:
        self._fence = fence
        self._tried = anyio.Event()
        self._begins_after = None
        self.has_ended = False

    async def _begin(self, message: JsonObject, extra: JsonObject) -> None:
        self._begun({**await self._keeping.data(message), **extra})

    def _begun(self, message: JsonObject) -> None:
        self._replay = None
        self._told.clear()
        self._say(NewEvent(name=MESSAGE, data=message), mark="before")
        self._say_early()

    async def _go_on(self, recorded: RecordedTurn) -> None:
        message = await self._keeping.data(recorded.message)
        found: Sequence[Entry] = ()
        try:
            writer = await self._newly_opened()
            found = await self._found(writer)
            self._writer = writer
        except StoreError as error:
            _log.warning("the events of %r cannot be read: %s", self._conversation, error)
        shown = shown_of(found)
        if found and found[0].name == MESSAGE and shown.request_id == recorded.request_id:
            self._shown = shown
            self._told = [(NewEvent(name=entry.name, data=entry.data), None) for entry in found]
            self._told[0] = (self._told[0][0], "before")
            self._begins_after = self._writer.standing.mark if self._writer is not None else None
            self._opened.set()
            self._tried.set()
        else:
            self._begun(message)
            if self._writer is not None:
                self._tells_anew = self._writer.standing.mark != self._writer.standing.last
        for event in repair(self._shown, recorded):
            self._say(event)
        self._say_early()
        self._replay = _replay_of(recorded)

    def _say_early(self) -> None:
        """Say what was said before anybody knew of which turn."""
        early, self.early = self.early, []
        for event in early:
            self._say(event)

    async def mend(self, *, fence: int) -> None:
        """Let readers load the journal, if the turn was not told to its end and is over. Raises StoreError."""
        self._fence = fence
        writer = await self._newly_opened()
        last = writer.standing.last
        if writer.standing.mark != last:
            await writer.append([NewEvent(name=RESET, data={"last_event_id": str(last + 1)})], mark="after")

    def end(self, event: NewEvent, *, over: bool) -> None:
        """Say how the run has ended; with `over` the turn has ended as well, and the journal has all of it."""
        self.has_ended = True
        self._add(partial(self._end, event, over=over))

    async def _end(self, event: NewEvent, *, over: bool) -> None:
        data = await self._keeping.data(event.data)
        await self._rest()
        if not over and self._replay is not None and self._shown.ended:
            return  # the turn waits as before
        self._replay = None
        self._say(NewEvent(name=event.name, data=data), mark="after" if over else None)

    def close(self) -> None:
        """Say that nothing more will come. What is held back of a text that was cut off is made anew."""
        self._closed = True
        self._wanted.set()

    async def tried(self) -> None:
        """Wait until the first batch is written, or could not be."""
        await self._tried.wait()

    async def written(self) -> None:
        """Wait until all is written; call it when it is closed."""
        await self._ended.wait()

    async def stop_asked(self) -> None:
        """Return when somebody has asked for the turn to be stopped."""
        await self._opened.wait()
        assert self._writer is not None  # noqa: S101  (opened)
        while True:
            try:
                return await self._writer.stop_asked()
            except StoreError:  # it is asked again: the writing of events says that the log is down
                await anyio.sleep(_LONGEST)

    async def run(self) -> None:
        """Write what is said, until it is closed and all is written."""
        delay = _FIRST
        while await self._has_something():
            await checkpoint()  # what comes in the same turn of the event loop is written together
            try:
                await self._take_in()
                if self._batch or self._waiting or self._tells_anew:
                    await self._write()
                delay = _FIRST
            except LeaseLost:
                self._silent = True  # another worker tells it now
                self._forget()
            except StoreError as error:
                _log.warning("events of %r cannot be written: %s", self._conversation, error)
                self._tried.set()
                await anyio.sleep(delay)
                delay = min(2 * delay, _LONGEST)
        self._tried.set()
        self._ended.set()

    async def _has_something(self) -> bool:
        while not (self._heard or self._batch or self._waiting or self._tells_anew):
            if self._closed:
                return False
            self._wanted = anyio.Event()
            await self._wanted.wait()
        return True

    async def _take_in(self) -> None:
        """Take in what was told. Raises StoreError."""
        while self._heard:
            await self._heard[0]()
            self._heard.popleft()

    async def _write(self) -> None:
        writer = await self._open()
        if self._batch is None:
            if self._tells_anew:
                self._tell_anew(writer)
            self._batch = self._next_batch()
        events, mark = self._batch
        before = writer.standing
        await writer.append(events, mark=mark)
        self._batch = None
        expected = {None: before.mark, "before": before.last, "after": writer.standing.last}[mark]
        if mark == "before":
            self._begins_after = before.last
        # Otherwise the log has forgotten what was told before.
        self._tells_anew = self._tells_anew or writer.standing.mark != expected
        if not (self._tells_anew or self._waiting or self._heard):
            self._tried.set()

    async def _open(self) -> EventWriter:
        if self._writer is None:
            self._writer = writer = await self._newly_opened()
            # The turn before was not told to its end: readers have to look into the journal.
            self._tells_anew = writer.standing.mark != writer.standing.last
        self._opened.set()
        return self._writer

    async def _newly_opened(self) -> EventWriter:
        """Open the log. Raises LeaseLost, StoreError."""
        try:
            return await self._log.open(self._conversation, fence=self._fence)
        except LeaseLost:
            await self._still_held()
        # The lease is the newest: the log is that of a conversation of this name that was deleted.
        await self._log.forget(self._conversation)
        return await self._log.open(self._conversation, fence=self._fence)

    async def _found(self, writer: EventWriter) -> Sequence[Entry]:
        """Return what the log has from its mark on. Raises StoreError."""
        found: list[Entry] = []
        after, last = writer.standing.mark, writer.standing.last
        while after < last and (page := await self._log.read(self._conversation, after=after)):
            if page[0].name == RESET:
                return ()
            found += page
            after = page[-1].id
        return found

    def _tell_anew(self, writer: EventWriter) -> None:
        """Let readers load the journal, and then see the turn from its beginning."""
        self._tells_anew = False
        place = str(writer.standing.last + 1)
        self._waiting = deque([(NewEvent(name=RESET, data={"last_event_id": place}), None), *self._told])

    def _next_batch(self) -> tuple[list[NewEvent], Mark | None]:
        """Take what can be written at once: a turn begins with a batch, and ends with one."""
        batch: list[NewEvent] = []
        mark: Mark | None = None
        while self._waiting and mark != "after" and len(batch) < _BATCH:
            event, moved = self._waiting[0]
            if (moved == "before" and batch) or (moved == "after" and mark == "before"):
                break
            self._waiting.popleft()
            mark = moved or mark
            batch.append(event)
        return joined(batch), mark

    def _put(self, event: NewEvent, mark: Mark | None) -> None:
        if len(self._waiting) >= _WAITING:
            self._waiting.clear()
            self._tells_anew = True
        self._waiting.append((event, mark))

    def _forget(self) -> None:
        self._batch, self._tells_anew = None, False
        self._waiting.clear()
        self._heard.clear()


def _piece(name: str, text: str) -> NewEvent:
    return NewEvent(name=name, data={"text": text})


def joined(events: Iterable[NewEvent]) -> list[NewEvent]:
    """Return events with pieces of one text, which stand side by side, made one."""
    found: list[NewEvent] = []
    for event in events:
        if found and event.name in _PIECES and found[-1].name == event.name:
            found[-1] = _piece(event.name, str(found[-1].data["text"]) + str(event.data["text"]))
        else:
            found.append(event)
    return found

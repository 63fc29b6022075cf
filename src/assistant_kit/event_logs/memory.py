"""Events in this process: for one worker, and for tests."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock

from anyio.lowlevel import checkpoint

from assistant_kit.errors import LeaseLost
from assistant_kit.event_logs._rules import Nothing, check_keep, check_name, check_read, is_known, new_era, reset
from assistant_kit.protocols.event_log import (
    Entry,
    EventReader,
    EventWriter,
    Mark,
    NewEvent,
    Standing,
    UserEventLog,
)
from assistant_kit.protocols.user_data import Kept
from assistant_kit.worker_thread import Waiter, wake

_PAGE = 1000
_SWEEP = 1024
"""Writes after which conversations that may be forgotten are."""


@dataclass(slots=True)
class _Kept:
    """What is kept of a conversation."""

    start: int
    until: float
    last: int = 0
    mark: int = 0
    fence: int = 0
    stop: bool = False
    entries: deque[Entry] = field(default_factory=deque[Entry])
    waiters: set[Waiter] = field(default_factory=set[Waiter])

    @property
    def floor(self) -> int:
        """The id before the first that is kept."""
        return self.last - len(self.entries)

    @property
    def standing(self) -> Standing:
        return Standing(last=self.last, mark=self.mark)

    def after(self, after: int | None, limit: int) -> list[Entry]:
        """Return the first entries after an id."""
        if after is not None and not is_known(after, start=self.start, floor=self.floor, last=self.last):
            return [reset(self.standing, floor=self.floor)]
        skipped = 0 if after is None else max(0, after - self.floor)
        return list(islice(self.entries, skipped, skipped + limit))

    def changed(self) -> None:
        """Let all go on who wait for something here."""
        waiters, self.waiters = self.waiters, set()
        wake(waiters)


class MemoryEventLog:
    """Events in memory; event loops and threads may share one.

    Of each conversation the newest `most` are kept, all for `keep` seconds after the last one. `clock` is in seconds
    since 1970. Raises ConfigurationError.
    """

    def __init__(self, *, keep: float = 3600.0, most: int = 10_000, clock: Callable[[], float] = time.time) -> None:
        check_keep(keep, most)
        self._keep = keep
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._writes = 0

    def for_user(self, user: str) -> UserEventLog:
        """Return the handle through which alone the events of `user` are reached. Raises InputError."""
        check_name("user", user)
        return _UserLog(self, user)

    async def erase_user(self, user: str) -> None:
        """Delete the events of a user."""
        with self._lock:
            for place in [place for place in self._kept if place[0] == user]:
                self._kept.pop(place).changed()

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return nothing: what events say is in the journal."""
        del user
        return Nothing()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to free."""

    def open(self, user: str, conversation: str, fence: int) -> "_Writer":
        """Become the one who writes. Raises LeaseLost."""
        with self._lock:
            kept = self._known(user, conversation) or self._begun(user, conversation)
            if kept.fence > fence:
                raise LeaseLost(conversation)
            kept.fence = fence
            self._touch(kept)
            return _Writer(self, user, conversation, fence, kept.standing)

    def append(self, writer: "_Writer", events: Sequence[NewEvent], mark: Mark | None) -> Standing:
        """Write events. Raises LeaseLost."""
        with self._lock:
            kept = self._known(writer.user, writer.conversation) or self._begun(writer.user, writer.conversation)
            if kept.fence > writer.fence:
                raise LeaseLost(writer.conversation)
            if kept.fence == writer.fence and kept.last == writer.standing.last + len(events):
                return kept.standing  # it is written already
            if kept.last != writer.standing.last:  # it is not the log that this writer knows
                kept.entries.clear()
                kept.start = kept.last = kept.mark = max(kept.last, writer.standing.last)
            kept.fence = writer.fence
            if mark == "before":
                kept.mark = kept.last
            for number, event in enumerate(events, kept.last + 1):
                kept.entries.append(Entry(id=number, name=event.name, data=event.data))
            kept.last += len(events)
            if mark == "after":
                kept.mark = kept.last
            kept.stop = kept.stop and mark is None
            while len(kept.entries) > self._most:
                kept.entries.popleft()
            self._touch(kept)
            kept.changed()
            return kept.standing

    def standing(self, user: str, conversation: str) -> Standing:
        """Return how far the log of a conversation goes."""
        with self._lock:
            kept = self._known(user, conversation)
            return Standing() if kept is None else kept.standing

    def read(
        self, user: str, conversation: str, after: int | None, limit: int, waiter: Waiter | None = None
    ) -> list[Entry]:
        """Return the first entries after an id; `waiter` is woken when there are more, if there are none."""
        with self._lock:
            kept = self._known(user, conversation)
            if kept is None and after:
                return [reset(Standing(), floor=0)]
            if kept is None and waiter is not None:
                kept = self._begun(user, conversation)
            found = [] if kept is None else kept.after(after, limit)
            if kept is not None and waiter is not None and not found:
                kept.waiters.add(waiter)
            return found

    def ask_stop(self, user: str, conversation: str) -> None:
        """Put down that the turn is to be stopped."""
        with self._lock:
            kept = self._known(user, conversation)
            if kept is not None:
                kept.stop = True
                kept.changed()

    def is_stopped(self, user: str, conversation: str, waiter: Waiter) -> bool:
        """Tell whether the turn is to be stopped; `waiter` is woken when that may have changed, if not."""
        with self._lock:
            kept = self._known(user, conversation)
            if kept is None or kept.stop:
                return kept is not None
            kept.waiters.add(waiter)
            return False

    def forget_waiter(self, user: str, conversation: str, waiter: Waiter) -> None:
        """Wake somebody no more."""
        with self._lock:
            kept = self._kept.get((user, conversation))
            if kept is not None:
                kept.waiters.discard(waiter)

    def forget(self, user: str, conversation: str) -> None:
        """Delete the events of a conversation."""
        with self._lock:
            kept = self._kept.pop((user, conversation), None)
            if kept is not None:
                kept.changed()

    def _known(self, user: str, conversation: str) -> _Kept | None:
        kept = self._kept.get((user, conversation))
        if kept is None or kept.until > self._clock():
            return kept
        del self._kept[user, conversation]
        kept.changed()
        return None

    def _begun(self, user: str, conversation: str) -> _Kept:
        now = self._clock()
        era = new_era(now)
        kept = _Kept(era, now + self._keep, last=era, mark=era)
        self._kept[user, conversation] = kept
        return kept

    def _touch(self, kept: _Kept) -> None:
        now = self._clock()
        kept.until = now + self._keep
        self._writes += 1
        if self._writes % _SWEEP == 0:
            self._kept = {place: each for place, each in self._kept.items() if each.until > now or each.waiters}


class _Writer:
    """Writes about one conversation."""

    def __init__(self, log: MemoryEventLog, user: str, conversation: str, fence: int, standing: Standing) -> None:
        self._log = log
        self.user = user
        self.conversation = conversation
        self.fence = fence
        self.standing: Standing = standing

    async def append(self, events: Sequence[NewEvent], *, mark: Mark | None = None) -> int:
        """Write events. Raises LeaseLost."""
        await checkpoint()
        self.standing = self._log.append(self, events, mark)
        return self.standing.last

    async def stop_asked(self) -> None:
        """Return when the turn is to be stopped."""
        waiter = Waiter()
        try:
            while not self._log.is_stopped(self.user, self.conversation, waiter):
                await waiter.wait()
                waiter = Waiter()
        finally:
            self._log.forget_waiter(self.user, self.conversation, waiter)


class _Reader:
    """Follows one conversation."""

    def __init__(self, log: MemoryEventLog, user: str, conversation: str, after: int | None) -> None:
        self._log = log
        self._place = (user, conversation)
        self._after = after

    async def next(self) -> Sequence[Entry]:
        """Return the next entries."""
        await checkpoint()
        waiter = Waiter()
        try:
            while not (found := self._log.read(*self._place, self._after, _PAGE, waiter)):
                await waiter.wait()
                waiter = Waiter()
        finally:
            self._log.forget_waiter(*self._place, waiter)
        self._after = found[-1].id
        return found

    async def aclose(self) -> None:
        """Do nothing: there is nothing to free."""


class _UserLog:
    """The events of one user."""

    def __init__(self, log: MemoryEventLog, user: str) -> None:
        self._log = log
        self._user = user

    async def open(self, conversation: str, *, fence: int) -> EventWriter:
        """Become the one who writes. Raises LeaseLost, InputError."""
        check_name("conversation", conversation)
        return self._log.open(self._user, conversation, fence)

    async def standing(self, conversation: str) -> Standing:
        """Return how far the log of a conversation goes. Raises InputError."""
        check_name("conversation", conversation)
        return self._log.standing(self._user, conversation)

    async def read(self, conversation: str, *, after: int | None = None, limit: int = _PAGE) -> Sequence[Entry]:
        """Return the first entries after an id. Raises InputError."""
        check_read(conversation, after, limit)
        return self._log.read(self._user, conversation, after, limit)

    def follow(self, conversation: str, *, after: int | None = None) -> EventReader:
        """Return a reader. Raises InputError."""
        check_read(conversation, after)
        return _Reader(self._log, self._user, conversation, after)

    async def ask_stop(self, conversation: str) -> None:
        """Ask for the turn to be stopped. Raises InputError."""
        check_name("conversation", conversation)
        self._log.ask_stop(self._user, conversation)

    async def forget(self, conversation: str) -> None:
        """Delete the events of a conversation. Raises InputError."""
        check_name("conversation", conversation)
        self._log.forget(self._user, conversation)

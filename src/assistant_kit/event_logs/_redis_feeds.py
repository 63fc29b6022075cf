"""What is published about conversations, for all readers of this process: one connection and one thread for them.

A thread listens, as in the other parts that use Redis: so asyncio and trio, and several event loops, share it. It is
woken by a message on a channel of its own, as a connection of redis-py is not made for two threads.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import takewhile
from typing import Any, Final

import anyio

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.event_logs._redis_wire import ADVICE, send
from assistant_kit.protocols.event_log import Entry
from assistant_kit.redis_address import Address, Wire
from assistant_kit.redis_failures import FOREIGN
from assistant_kit.worker_thread import Waiter, wake

_log = logging.getLogger("assistant_kit.streaming")

_KEPT: Final = 256 * 1024  # bytes of what was published that a feed keeps for readers who are a little behind
_QUIET: Final = 10.0  # seconds of silence after which the connection is tried
_PAUSE: Final = 1.0  # seconds between two attempts to connect
_TOLD: Final = (b"subscribe", b"message")  # what feeds are told of; the rest confirms that nothing comes, or is a pong

Decode = Callable[[bytes], Sequence[Entry]]


class _State(Enum):
    JOINING = 1
    READY = 2
    FAILED = 3


class Feed:
    """What is published on one channel, as long as somebody here wants it.

    `generation` grows when something may have been missed: with each subscription, when one is lost, and with what is
    to be looked up.
    """

    def __init__(self, channel: str, lock: threading.Lock) -> None:
        self.channel: str = channel
        self.users: int = 0
        self.generation: int = 0
        self.state: _State = _State.JOINING
        self.error: StoreError | None = None
        self._lock = lock
        self._waiters: set[Waiter] = set()
        self._kept: deque[tuple[Sequence[Entry], int]] = deque()
        self._size = 0

    def take(self, after: int | None, generation: int, waiter: Waiter) -> Sequence[Entry] | None:
        """Return the entries after an id; None when they are not all here.

        The reader has looked up what was there in a `generation`. `waiter` is woken when there is news.
        """
        with self._lock:
            if self.generation != generation:
                return None
            entries = self._behind(after)
            if entries:
                return entries if after in (None, 0, entries[0].id - 1) else None
            if self._kept and after is not None and after > self._kept[-1][0][-1].id:
                return None  # these are other ones: the conversation was forgotten meanwhile
            self._waiters.add(waiter)
            return ()

    def _behind(self, after: int | None) -> Sequence[Entry]:
        """Return the entries after an id. A reader is seldom far behind: the newest are looked at first."""
        newest = takewhile(lambda kept: after is None or kept[0][-1].id > after, reversed(self._kept))
        batches = reversed([batch for batch, _ in newest])
        return [entry for batch in batches for entry in batch if after is None or entry.id > after]

    def tell(self, waiter: Waiter) -> None:
        """Let `waiter` be woken when there is news."""
        with self._lock:
            self._waiters.add(waiter)

    def is_pending(self, waiter: Waiter) -> bool:
        """Tell whether it is not known yet if messages come; then `waiter` is woken when it is."""
        with self._lock:
            if self.state is _State.JOINING:
                self._waiters.add(waiter)
            return self.state is _State.JOINING

    def forget(self, waiter: Waiter) -> None:
        """Wake somebody no more."""
        with self._lock:
            self._waiters.discard(waiter)

    # What follows is called with the lock held, and returns who is to be woken.

    def take_over(self, state: _State, error: StoreError | None = None) -> set[Waiter]:
        """Go over to a state; what was kept is worth nothing then."""
        self.state, self.error = state, error
        self.generation += 1
        self.clear()
        return self.news()

    def add(self, batch: Sequence[Entry], size: int) -> set[Waiter]:
        """Take what was published; nothing, and more than is ever kept, is to be looked up."""
        if not batch or size > _KEPT:
            self.generation += 1
            self.clear()
            return self.news()
        if self._kept and self._kept[-1][0][-1].id + 1 != batch[0].id:
            self.clear()
        self._kept.append((batch, size))
        self._size += size
        while self._size > _KEPT:
            self._size -= self._kept.popleft()[1]
        return self.news()

    def clear(self) -> None:
        """Keep nothing of what was published."""
        self._kept.clear()
        self._size = 0

    def news(self) -> set[Waiter]:
        """Return all who wait."""
        waiters, self._waiters = self._waiters, set()
        return waiters


class Feeds:
    """The feeds of this process. `decode` reads what is published; `poke` publishes on a channel, later."""

    def __init__(self, address: Address, *, decode: Decode, poke: Callable[[str], None]) -> None:
        self._address = address
        self._decode = decode
        self._poke = poke
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._own = f"assistant_kit:listener:{os.urandom(12).hex()}"
        self._thread: threading.Thread | None = None
        self._again = threading.Event()
        self._hears = False
        self._closed = False

    def join(self, channel: str) -> Feed:
        """Return the feed of a channel; each join is followed by one `leave`. Raises StoreUnavailable."""
        with self._lock:
            if self._closed:
                raise self._closed_error()
            feed = self._feeds.get(channel)
            if feed is None:
                feed = self._feeds[channel] = Feed(channel, self._lock)
            feed.users += 1
            if self._thread is None:
                # A daemon: a log that nobody closed does not keep the interpreter from ending.
                self._thread = threading.Thread(target=self._listen, name="assistant_kit-events-listener", daemon=True)
                self._thread.start()
        self._nudge()
        return feed

    def leave(self, feed: Feed) -> None:
        """Want a feed no more."""
        with self._lock:
            feed.users -= 1
            if feed.users == 0 and self._feeds.get(feed.channel) is feed:
                del self._feeds[feed.channel]

    async def ready(self, feed: Feed) -> int:
        """Wait until messages of a feed come, and return its generation. Raises StoreError."""
        waiter = Waiter()
        try:
            while feed.is_pending(waiter):
                await waiter.wait()
                waiter = Waiter()
        finally:
            feed.forget(waiter)
        if feed.error is not None:
            raise feed.error
        return feed.generation

    async def aclose(self) -> None:
        """End the thread; who waits is told."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._nudge()
        if thread is not None:
            with anyio.move_on_after(self._address.timeout, shield=True):
                await anyio.to_thread.run_sync(thread.join, self._address.timeout, abandon_on_cancel=True)

    def _nudge(self) -> None:
        self._again.set()
        self._poke(self._own)

    def _listen(self) -> None:
        """Run as the thread."""
        while not self._closed:
            wire = self._address.wire()
            self._hears = False
            try:
                wire.connect()
                self._hear(wire)
            except FOREIGN as error:
                self._lose(ADVICE.store_error(error, self._address.place))
            finally:
                wire.disconnect()
        self._go_over(_State.FAILED, self._closed_error())

    def _hear(self, wire: Wire) -> None:
        """Subscribe to what is wanted, and pass on what comes. Raises what stands in FOREIGN."""
        subscribed: dict[str, Feed] = {}
        send(wire, [("SUBSCRIBE", self._own)])
        while not self._closed:
            self._adjust(wire, subscribed)
            if not wire.can_read(_QUIET):
                send(wire, [("PING",)])
            self._take(wire.read_response())
            self._hears = True

    def _adjust(self, wire: Wire, subscribed: dict[str, Feed]) -> None:
        with self._lock:
            new = {name: feed for name, feed in self._feeds.items() if subscribed.get(name) is not feed}
            gone = subscribed.keys() - self._feeds.keys()
        asked = (("SUBSCRIBE", new), ("UNSUBSCRIBE", gone))
        commands = [(command, *channels) for command, channels in asked if channels]
        if commands:
            send(wire, commands)
        subscribed.update(new)
        for channel in gone:
            del subscribed[channel]

    def _take(self, reply: Any) -> None:
        kind, channel = reply[0], reply[1].decode()
        with self._lock:
            feed = self._feeds.get(channel) if kind in _TOLD else None
            if feed is None:
                return
            if kind == b"subscribe":
                waiters = feed.take_over(_State.READY)
            else:
                payload: bytes = reply[2]
                waiters = feed.add(self._decode(payload), len(payload))
        wake(waiters)

    def _go_over(self, state: _State, error: StoreError | None) -> None:
        with self._lock:
            waiters = [waiter for feed in self._feeds.values() for waiter in feed.take_over(state, error)]
        wake(waiters)

    def _closed_error(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._address.place}: this log was closed: make a new one")

    def _lose(self, error: StoreError) -> None:
        """Try again at once when a connection was lost; when there is none, tell readers, and try a little later."""
        state, told = (_State.JOINING, None) if self._hears else (_State.FAILED, error)
        self._go_over(state, told)
        _log.warning("events are not heard of: %s", error)
        if not self._hears:
            self._again.clear()
            self._again.wait(_PAUSE)

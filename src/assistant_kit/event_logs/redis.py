"""Events in Redis or Valkey, for writers and readers in the processes of any number of machines."""

import json
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from assistant_kit.errors import ConfigurationError, LeaseLost, StoreCorrupt, StoreUnavailable
from assistant_kit.event_logs._redis_feeds import Feed, Feeds
from assistant_kit.event_logs._redis_server import (
    APPEND,
    FORGET,
    OPEN,
    READ,
    STOP,
    Ask,
    Command,
    Keys,
    Server,
    index_of,
    keys_of,
)
from assistant_kit.event_logs._redis_wire import ADVICE
from assistant_kit.event_logs._rules import Nothing, check_keep, check_name, check_read, is_known, reset
from assistant_kit.protocols.event_log import (
    RESET,
    Entry,
    EventReader,
    EventWriter,
    Mark,
    NewEvent,
    Standing,
    UserEventLog,
)
from assistant_kit.protocols.user_data import Kept
from assistant_kit.redis_address import Address
from assistant_kit.redis_failures import FOREIGN
from assistant_kit.worker_thread import Duties, Ended, Waiter, Worker

T = TypeVar("T")

_CLOSING: Final = 10.0  # seconds beyond the timeout that what still waits may take
_PAGE: Final = 1000


class RedisEventLog:
    """Events in the server at `url`: `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `valkey://…`.

    Of each conversation the newest `most` are kept, all for `keep` seconds after the last one. `prefix` begins every
    key; `timeout` is how many seconds to wait for the server. It need not write to a disk: when it forgets, or when a
    replica takes over that has not got everything, readers are told by `reset`.

    Event loops and threads may share an object; it has two connections, however many readers there are. Raises
    ConfigurationError.
    """

    def __init__(
        self,
        url: str,
        *,
        keep: float = 3600.0,
        most: int = 10_000,
        prefix: str = "assistant_kit:events",
        timeout: float = 10.0,
    ) -> None:
        check_keep(keep, most)
        if not prefix or "{" in prefix or "}" in prefix or not prefix.isprintable():
            raise ConfigurationError(f"prefix {prefix!r} cannot begin keys: give printable characters without braces")
        self._address = Address(url, timeout=timeout, of="RedisEventLog")
        self._prefix = prefix
        self.limits: tuple[int, int] = (round(keep * 1000), most)
        duties: Duties[Server] = Duties(
            connect=partial(Server, self._address), perform=Server.perform, close=Server.close, breaks=Exception
        )
        self._worker: Worker[Server] = Worker("events", duties)
        self.feeds: Feeds = Feeds(self._address, decode=published, poke=partial(_poke, self._worker))
        weakref.finalize(self, self._worker.end).atexit = False

    def __repr__(self) -> str:
        return f"RedisEventLog({self._address.place!r})"

    def for_user(self, user: str) -> UserEventLog:
        """Return the handle through which alone the events of `user` are reached. Raises InputError."""
        check_name("user", user)
        return _UserLog(self, self._prefix, user)

    async def erase_user(self, user: str) -> None:
        """Delete the events of a user. Raises StoreError, InputError."""
        check_name("user", user)
        index = index_of(self._prefix, user)
        names: list[bytes] = await self.ask(("ZRANGE", index, 0, -1), _as_it_is)
        for name in names:
            text = name.decode()
            keys = Keys(name=text, index=index, events=f"{index}:{text}", about=f"{index}:{text}:about")
            await self.ask(keys.call(FORGET, text), _as_it_is)

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return nothing: what events say is in the journal."""
        del user
        return Nothing()

    async def aclose(self) -> None:
        """Do what still waits, and end the threads. A second call does nothing."""
        await self.feeds.aclose()
        await self._worker.stop(patience=self._address.timeout + _CLOSING)

    async def ask(self, command: Command, read: Callable[[Any], T]) -> T:
        """Return what `read` makes of the answer to a command. Raises StoreError."""
        place = self._address.place
        job = Ask(command, read)
        try:
            self._worker.submit(job)
            return await job.outcome()
        except Ended as error:
            raise StoreUnavailable(f"{place}: {error}") from error
        except FOREIGN as error:
            raise ADVICE.store_error(error, place) from error


class _Writer:
    """Writes about one conversation."""

    def __init__(self, log: RedisEventLog, keys: Keys, conversation: str, fence: int, standing: Standing) -> None:
        self._log = log
        self._keys = keys
        self._conversation = conversation
        self._fence = fence
        self.standing: Standing = standing

    async def append(self, events: Sequence[NewEvent], *, mark: Mark | None = None) -> int:
        """Write events. Raises LeaseLost, StoreError."""
        keep, most = self._log.limits
        told = [text for event in events for text in (event.name, json.dumps(event.data))]
        about = (self._keys.name, keep, most, self._fence, self.standing.last, mark or "")
        answer: list[bytes] = await self._log.ask(self._keys.call(APPEND, *about, *told), _as_it_is)
        if not answer:
            raise LeaseLost(self._conversation)
        self.standing = Standing(last=int(answer[0]), mark=int(answer[1]))
        return self.standing.last

    async def stop_asked(self) -> None:
        """Return when the turn is to be stopped. Raises StoreError."""
        feeds = self._log.feeds
        feed = feeds.join(self._keys.stop)
        waiter = Waiter()
        try:
            while True:
                await feeds.ready(feed)
                feed.tell(waiter)  # before it is asked for: what comes meanwhile is not missed
                if await self._log.ask(("HGET", self._keys.about, "stop"), _as_it_is):
                    return
                await waiter.wait()
                waiter = Waiter()
        finally:
            feed.forget(waiter)
            feeds.leave(feed)


class _Reader:
    """Follows one conversation."""

    def __init__(self, log: RedisEventLog, keys: Keys, after: int | None) -> None:
        self._log = log
        self._keys = keys
        self._after = after
        self._feed: Feed | None = None
        self._generation = 0
        self._leave: weakref.finalize[..., Any] | None = None

    async def next(self) -> Sequence[Entry]:
        """Return the next entries. Raises StoreError."""
        if self._feed is None:
            self._feed = self._log.feeds.join(self._keys.events)
            self._leave = weakref.finalize(self, self._log.feeds.leave, self._feed)
            self._leave.atexit = False
        while not (found := await self._look(self._feed)):
            pass
        self._after = found[-1].id
        return found

    async def aclose(self) -> None:
        """Follow no more."""
        if self._leave is not None:
            self._leave()

    async def _look(self, feed: Feed) -> Sequence[Entry]:
        """Return what there is, or nothing when there was news, and none of it for this reader."""
        generation = await self._log.feeds.ready(feed)
        waiter = Waiter()
        try:
            taken = feed.take(self._after, self._generation, waiter)
            if taken is not None:
                if not taken:
                    await waiter.wait()
                return taken
        finally:
            feed.forget(waiter)
        found = await _read(self._log, self._keys, self._after, _PAGE)
        # A full page may not be the last one, and a reset leads to what is kept: it is read on before the feed is.
        is_last = len(found) < _PAGE and not (found and found[0].name == RESET)
        self._generation = generation if is_last else 0
        return found


class _UserLog:
    """The events of one user."""

    def __init__(self, log: RedisEventLog, prefix: str, user: str) -> None:
        self._log = log
        self._prefix = prefix
        self._user = user

    async def open(self, conversation: str, *, fence: int) -> EventWriter:
        """Become the one who writes. Raises LeaseLost, StoreError, InputError."""
        keys = self._keys(conversation)
        answer = await self._log.ask(keys.call(OPEN, keys.name, self._log.limits[0], fence), _as_it_is)
        if not answer:
            raise LeaseLost(conversation)
        standing = Standing(last=int(answer[0]), mark=int(answer[1]))
        return _Writer(self._log, keys, conversation, fence, standing)

    async def standing(self, conversation: str) -> Standing:
        """Return how far the log of a conversation goes. Raises StoreError, InputError."""
        answer = await self._log.ask(self._keys(conversation).call(READ, "", 0), _as_it_is)
        return Standing(last=int(answer[0]), mark=int(answer[1])) if answer else Standing()

    async def read(self, conversation: str, *, after: int | None = None, limit: int = _PAGE) -> Sequence[Entry]:
        """Return the first entries after an id. Raises StoreError, InputError."""
        check_read(conversation, after, limit)
        return await _read(self._log, self._keys(conversation), after, limit)

    def follow(self, conversation: str, *, after: int | None = None) -> EventReader:
        """Return a reader. Raises InputError."""
        check_read(conversation, after)
        return _Reader(self._log, self._keys(conversation), after)

    async def ask_stop(self, conversation: str) -> None:
        """Ask for the turn to be stopped. Raises StoreError, InputError."""
        await self._log.ask(self._keys(conversation).call(STOP), _as_it_is)

    async def forget(self, conversation: str) -> None:
        """Delete the events of a conversation. Raises StoreError, InputError."""
        keys = self._keys(conversation)
        await self._log.ask(keys.call(FORGET, keys.name), _as_it_is)

    def _keys(self, conversation: str) -> Keys:
        check_name("conversation", conversation)
        return keys_of(self._prefix, self._user, conversation)


async def _read(log: RedisEventLog, keys: Keys, after: int | None, limit: int) -> Sequence[Entry]:
    question = keys.call(READ, "" if after is None else after, limit)
    return await log.ask(question, partial(_found, keys, after))


def _found(keys: Keys, after: int | None, answer: Sequence[Any]) -> Sequence[Entry]:
    """Return entries as READ answers. Raises StoreCorrupt."""
    if not answer:
        return [reset(Standing(), floor=0)] if after else []
    last, mark, start = map(int, answer[:3])
    oldest: bytes = answer[3]
    floor = int(oldest.partition(b"-")[0]) - 1 if oldest else last
    if after is not None and not is_known(after, start=start, floor=floor, last=last):
        return [reset(Standing(last=last, mark=mark), floor=floor)]
    return [_entry(keys, number, fields) for number, fields in answer[4]]


def _entry(keys: Keys, number: bytes, fields: Sequence[bytes]) -> Entry:
    try:
        _, name, _, data = fields
        return Entry(id=int(number.partition(b"-")[0]), name=name.decode(), data=json.loads(data))
    except ValueError as error:
        raise StoreCorrupt(f"{keys.events} is another program's: give another prefix") from error


def published(payload: bytes) -> Sequence[Entry]:
    """Return the entries in what was published: the first id, then name and data by turns, each in a line of its own.

    An empty message says that the events were forgotten. What cannot be read is looked up.
    """
    try:
        first, *lines = payload.decode().split("\n")
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return [Entry(id=int(first) + i, name=name, data=json.loads(data)) for i, (name, data) in enumerate(pairs)]
    except ValueError:
        return ()


def _poke(worker: Worker[Server], channel: str) -> None:
    """Publish an empty message, and wait for nothing."""
    with suppress(Ended):
        worker.submit(Ask(("PUBLISH", channel, b""), _as_it_is))


def _as_it_is(answer: Any) -> Any:
    return answer

"""The threads through which a store reaches its server: one that writes, one that reads."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from redis.exceptions import RedisError

from assistant_kit.errors import StoreUnavailable
from assistant_kit.stores.redis.calls import Answering, Call, Question, Reply
from assistant_kit.stores.redis.failures import ADVICE
from assistant_kit.stores.redis.server import Server, Terms
from assistant_kit.worker_thread import Duties, Ended, Group, Worker

T = TypeVar("T")

_CLOSING: Final = 10.0  # seconds beyond the timeout that what still waits may take


class Client:
    """A server, reached when it is first needed. No error of redis-py gets out of here.

    redis-py's blocking client in threads, and not its asyncio one: so a store serves asyncio and trio, and several
    event loops at once, and whatever waits in any of them shares a round trip.
    """

    def __init__(self, terms: Terms) -> None:
        self._place = terms.address.place
        self._patience = terms.timeout + _CLOSING
        self._writer = Worker("redis-writer", _duties(terms, writes=True))
        # Reads have a connection of their own: they do not wait until writes are on disk.
        self._reader = Worker("redis-reader", _duties(terms, writes=False))
        for worker in (self._reader, self._writer):
            weakref.finalize(self, worker.end).atexit = False

    async def write(self, question: Question | None, read: Callable[[Reply], T]) -> T:
        """Ask something that changes data; what is returned is durable. Raises StoreError, StoreVolatile."""
        (answer,) = await self._ask(self._writer, [Call(question, read)])
        return answer

    async def read(self, question: Question, read: Callable[[Reply], T]) -> T:
        """Ask something that changes nothing. Raises StoreError, StoreVolatile."""
        (answer,) = await self._ask(self._reader, [Call(question, read)])
        return answer

    async def read_all(self, questions: Sequence[Question], read: Callable[[Reply], T]) -> list[T]:
        """Ask several things that change nothing, at once."""
        return await self._ask(self._reader, [Call(question, read) for question in questions])

    def write_later(self, question: Question) -> None:
        """Ask something that changes data; nobody waits for it."""
        with suppress(Ended):
            self._writer.submit(Call(question, lambda reply: reply))

    async def aclose(self) -> None:
        """Do what still waits and end the threads. A second call does nothing."""
        await self._reader.stop(patience=self._patience)
        await self._writer.stop(patience=self._patience)

    async def _ask(self, worker: Worker[Answering], calls: Sequence[Call[T]]) -> list[T]:
        try:
            for call in calls:
                worker.submit(call)
            return [await call.outcome() for call in calls]
        except RedisError as error:
            raise ADVICE.store_error(error, self._place) from error
        except Ended as error:
            raise StoreUnavailable(f"{self._place}: {error}") from error


def _duties(terms: Terms, *, writes: bool) -> Duties[Answering]:
    # A server connects when it is asked something, and again when its connection broke: it is never given up.
    connect = partial(Server, terms, writes=writes)
    return Duties(connect=connect, perform=_perform, close=_disconnect, breaks=())


def _perform(server: Answering, group: Group[Answering]) -> None:
    server.perform(group)


def _disconnect(server: Answering) -> None:
    server.disconnect()

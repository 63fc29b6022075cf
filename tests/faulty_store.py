"""A store that fails on demand: what a crash, a lost acknowledgement or an outage look like from inside a run."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

import anyio

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import (
    Append,
    ConversationInfo,
    Lease,
    NewRecord,
    Record,
    Store,
    TurnState,
    Unfinished,
    UserStore,
)

T = TypeVar("T")
When = Literal["before", "after"]


class FaultyStore:
    """Counts writes; from write number `fail_at` on, or only at it when `once`, fails before or after doing it."""

    def __init__(self, store: Store, *, fail_at: int = 0, when: When = "before", once: bool = False) -> None:
        self.store = store
        self.fail_at = fail_at
        self.when: When = when
        self.once = once
        self.fail_reads = False
        self.hanging_read: anyio.Event | None = None
        self.writes = 0
        self.awaited: dict[int, anyio.Event] = {}

    async def reached(self, writes: int) -> None:
        """Wait until so many writes have been asked for."""
        if self.writes < writes:
            await self.awaited.setdefault(writes, anyio.Event()).wait()

    def for_user(self, user: str) -> UserStore:
        return _FaultyUserStore(self, self.store.for_user(user))

    async def open(self) -> None:
        await self.store.open()

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        return await self.store.unfinished(state=state, limit=limit)

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        return await self.store.users(after=after, limit=limit)

    async def aclose(self) -> None:
        await self.store.aclose()

    async def write(self, operation: Callable[[], Awaitable[T]]) -> T:
        self.writes += 1
        if self.writes in self.awaited:
            self.awaited[self.writes].set()
        failing = self.fail_at > 0 and (self.writes == self.fail_at if self.once else self.writes >= self.fail_at)
        if not failing:
            return await operation()
        if self.when == "after" and self.writes == self.fail_at:
            await operation()
        raise StoreUnavailable("the connection is gone")


class _FaultyUserStore:
    def __init__(self, faults: FaultyStore, store: UserStore) -> None:
        self._faults = faults
        self._store = store

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        return await self._faults.write(lambda: self._store.claim(conversation, owner=owner, ttl=ttl, begin=begin))

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        await self._faults.write(lambda: self._store.renew(lease, ttl=ttl))

    async def release(self, lease: Lease) -> None:
        await self._faults.write(lambda: self._store.release(lease))

    async def append(self, write: Append) -> None:
        await self._faults.write(lambda: self._store.append(write))

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        if self._faults.fail_reads:
            raise StoreUnavailable("the connection is gone")
        if self._faults.hanging_read is not None:
            self._faults.hanging_read.set()
            await anyio.sleep_forever()
        return await self._store.read(conversation, after=after, before=before, max_tokens=max_tokens, limit=limit)

    async def locate(self, conversation: str, record_id: str) -> int | None:
        return await self._store.locate(conversation, record_id)

    async def info(self, conversation: str) -> ConversationInfo:
        return await self._store.info(conversation)

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        return await self._store.conversations(limit=limit, before=before)

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        await self._faults.write(lambda: self._store.transact(lease, work))

    async def rename(self, conversation: str, title: str) -> None:
        await self._faults.write(lambda: self._store.rename(conversation, title))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        await self._faults.write(lambda: self._store.fork(conversation, new, at=at))

    async def rewind(self, lease: Lease, *, to: int) -> None:
        await self._faults.write(lambda: self._store.rewind(lease, to=to))

    async def delete(self, conversation: str) -> None:
        await self._faults.write(lambda: self._store.delete(conversation))

    async def erase(self) -> int:
        return await self._faults.write(self._store.erase)

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        return await self._store.audit_log(after=after, limit=limit)

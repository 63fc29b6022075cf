"""A store as one worker sees it: each write has a point before and a point after it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from anyio.lowlevel import checkpoint

from assistant_kit.audit_chain import AuditLink
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
from tests.crash_sweep.life import DiedInside, Life

T = TypeVar("T")


class MortalStore:
    """The store of a worker that may die."""

    def __init__(self, store: Store, life: Life) -> None:
        self._store = store
        self._life = life

    def for_user(self, user: str) -> UserStore:
        return _MortalUserStore(self._store.for_user(user), self._life)

    async def open(self) -> None:
        await self._store.open()

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        return await reading(self._life, lambda: self._store.unfinished(state=state, limit=limit))

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        return await reading(self._life, lambda: self._store.users(after=after, limit=limit))

    async def aclose(self) -> None:
        """Leave the real store to whoever made it."""


async def reading(life: Life, read: Callable[[], Awaitable[T]]) -> T:
    """Read while alive; who is cancelled reads no more."""
    await checkpoint()
    await life.live()
    found = await read()
    await life.live()
    return found


class _MortalUserStore:
    def __init__(self, store: UserStore, life: Life) -> None:
        self._store = store
        self._life = life

    async def _writing(self, name: str, write: Callable[[], Awaitable[T]]) -> T:
        await self._life.point(f"before {name}")
        await checkpoint()  # whoever is cancelled is stopped here, and not when the write has been made
        await self._life.live()
        done = await write()
        await self._life.point(f"after {name}")
        return done

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        return await self._writing("claim", lambda: self._store.claim(conversation, owner=owner, ttl=ttl, begin=begin))

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        await self._writing("renew", lambda: self._store.renew(lease, ttl=ttl))

    async def release(self, lease: Lease) -> None:
        await self._writing("release", lambda: self._store.release(lease))

    async def append(self, write: Append) -> None:
        kinds = "+".join(record.kind for record in write.records)
        await self._writing(f"append {kinds or 'nothing'}", lambda: self._store.append(write))

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        async def inside(connection: Any) -> Append:
            self._life.point_inside("at the beginning of a transaction")
            write = await work(connection)
            self._life.point_inside("at the end of a transaction")
            return write

        async def transacting() -> None:
            try:
                await self._store.transact(lease, inside)
            except DiedInside:
                await self._life.rest()

        await self._writing("transact", transacting)

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        return await reading(
            self._life,
            lambda: self._store.read(conversation, after=after, before=before, max_tokens=max_tokens, limit=limit),
        )

    async def locate(self, conversation: str, record_id: str) -> int | None:
        return await reading(self._life, lambda: self._store.locate(conversation, record_id))

    async def info(self, conversation: str) -> ConversationInfo:
        return await reading(self._life, lambda: self._store.info(conversation))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        return await reading(self._life, lambda: self._store.conversations(limit=limit, before=before))

    async def rename(self, conversation: str, title: str) -> None:
        await self._writing("rename", lambda: self._store.rename(conversation, title))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        await self._writing("fork", lambda: self._store.fork(conversation, new, at=at))

    async def rewind(self, lease: Lease, *, to: int) -> None:
        await self._writing("rewind", lambda: self._store.rewind(lease, to=to))

    async def delete(self, conversation: str) -> None:
        await self._writing("delete", lambda: self._store.delete(conversation))

    async def erase(self) -> int:
        return await self._writing("erase", self._store.erase)

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        return await reading(self._life, lambda: self._store.audit_log(after=after, limit=limit))

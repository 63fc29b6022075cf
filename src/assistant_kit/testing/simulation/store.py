"""A store behind a faulty network: slow, with errors before and after the commit, and writes that arrive late."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import anyio

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import AssistantKitError, StoreUnavailable
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
from assistant_kit.testing.simulation.faults import Faults, StoreFault
from assistant_kit.testing.simulation.process import Reply, current_process
from assistant_kit.testing.simulation.virtual_loop import later

T = TypeVar("T")
_IDLE = 20.0  # seconds after which a database ends the transaction of a client that does nothing
_LATE = 5.0  # seconds that a write is late, at most


class Observer(Protocol):
    """What is told when something has changed in the store, however the caller fares."""

    def claimed(self, user: str, lease: Lease, ttl: float) -> None:
        """Somebody has taken a lease."""
        ...

    def renewed(self, user: str, lease: Lease, ttl: float) -> None:
        """A lease was renewed."""
        ...

    def gave_up(self, user: str, lease: Lease) -> None:
        """A lease was given up."""
        ...

    def changed(self, user: str, conversation: str) -> None:
        """A conversation has changed."""
        ...

    def acknowledged(self, user: str, write: Append) -> None:
        """A write was acknowledged to whoever made it."""
        ...

    def failed(self) -> None:
        """A call of the store has failed by an accident."""
        ...


class Unobserved:
    """Keeps nothing."""

    def claimed(self, user: str, lease: Lease, ttl: float) -> None:
        """Do nothing."""

    def renewed(self, user: str, lease: Lease, ttl: float) -> None:
        """Do nothing."""

    def gave_up(self, user: str, lease: Lease) -> None:
        """Do nothing."""

    def changed(self, user: str, conversation: str) -> None:
        """Do nothing."""

    def acknowledged(self, user: str, write: Append) -> None:
        """Do nothing."""

    def failed(self) -> None:
        """Do nothing."""


class FaultyStore:
    """The way of one process to a store.

    Several of them, with the same `faults`, lead to one store. It belongs into a simulation: what the store does
    itself takes place outside of the process that asks for it, so that a transaction of a killed process is undone.
    """

    def __init__(self, store: Store, faults: Faults, observer: Observer | None = None) -> None:
        """Take the store itself."""
        self.store = store
        self.faults = faults
        self.observer: Observer = Unobserved() if observer is None else observer

    def for_user(self, user: str) -> UserStore:
        """Return the handle of a user."""
        return _FaultyUserStore(self, user, self.store.for_user(user))

    async def open(self) -> None:
        """Connect."""
        await self.reach(self.store.open)

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return what nobody works on."""
        return await self.reach(lambda: self.store.unfinished(state=state, limit=limit))

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users."""
        return await self.reach(lambda: self.store.users(after=after, limit=limit))

    async def aclose(self) -> None:
        """Leave the store to the others."""

    async def reach(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Go to the store and back; an error on the way there is as good as one on the way back."""
        fault = self.faults.store()
        await self.faults.travel()
        if fault is not None:
            raise self.failure()
        return await ask()

    def failure(self) -> StoreUnavailable:
        """Return the error that an accident ends in, and tell of it."""
        self.observer.failed()
        return StoreUnavailable("the connection is gone (simulated)")

    async def change(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Go to the store, change something, and come back; errors before, after, and before a change all the same."""
        fault = self.faults.store()
        await self.faults.travel()
        if fault is None:
            changed = await change()
            await self.faults.travel()
            return changed
        if fault == "after":
            await change()
            await self.faults.travel()
        elif fault == "late":
            later(self.faults.chance.random() * _LATE, lambda: _unheard(change))
        raise self.failure()


class _FaultyUserStore:
    """The journals of one user, behind the network."""

    def __init__(self, faulty: FaultyStore, user: str, store: UserStore) -> None:
        self._faulty = faulty
        self._user = user
        self._store = store
        self._observer = faulty.observer

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease."""

        async def claim() -> Lease:
            lease = await self._store.claim(conversation, owner=owner, ttl=ttl, begin=begin)
            self._observer.claimed(self._user, lease, ttl)
            self._observer.changed(self._user, conversation)
            return lease

        return await self._faulty.change(claim)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease last."""

        async def renew() -> None:
            await self._store.renew(lease, ttl=ttl)
            self._observer.renewed(self._user, lease, ttl)

        await self._faulty.change(renew)

    async def release(self, lease: Lease) -> None:
        """Give the lease up."""

        async def release() -> None:
            await self._store.release(lease)
            self._observer.gave_up(self._user, lease)

        await self._faulty.change(release)

    async def append(self, write: Append) -> None:
        """Write records."""

        async def append() -> None:
            await self._store.append(write)
            self._written(write)

        await self._faulty.change(append)
        self._observer.acknowledged(self._user, write)

    def _written(self, write: Append) -> None:
        self._observer.changed(self._user, write.lease.conversation)
        if write.release:
            self._observer.gave_up(self._user, write.lease)

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return records."""
        return await self._faulty.reach(
            lambda: self._store.read(conversation, after=after, before=before, max_tokens=max_tokens, limit=limit)
        )

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record."""
        return await self._faulty.reach(lambda: self._store.locate(conversation, record_id))

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of a conversation."""
        return await self._faulty.reach(lambda: self._store.info(conversation))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations."""
        return await self._faulty.reach(lambda: self._store.conversations(limit=limit, before=before))

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the audit chain."""
        return await self._faulty.reach(lambda: self._store.audit_log(after=after, limit=limit))

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title."""
        await self._faulty.change(lambda: _own(self._store.rename(conversation, title)))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Fork a conversation."""
        await self._change(new, lambda: self._store.fork(conversation, new, at=at))

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Rewind a conversation."""
        await self._change(lease.conversation, lambda: self._store.rewind(lease, to=to))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation."""
        await self._change(conversation, lambda: self._store.delete(conversation))

    async def erase(self) -> int:
        """Delete all of the user."""
        return await self._faulty.change(lambda: _own(self._store.erase()))

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write with what else is done in its transaction."""
        fault = self._faulty.faults.store()
        await self._faulty.faults.travel()
        transaction = _Transaction(self._store, lease)
        process = current_process()
        if process is not None:
            process.owes(transaction.write)
        later(0.0, lambda: self._serve(transaction, fault))
        connection = await transaction.connection.wait()
        try:
            write = await work(connection)
        except BaseException:
            transaction.write.fail(StoreUnavailable("rolled back (simulated)"))
            with anyio.CancelScope(shield=True), suppress(Exception):
                await transaction.done.wait()
            raise
        transaction.write.give(write)
        try:
            with anyio.CancelScope(shield=True):
                await transaction.done.wait()
                await self._faulty.faults.travel()
        except StoreUnavailable:
            self._observer.failed()
            raise
        if fault is not None:
            raise self._faulty.failure()
        self._observer.acknowledged(self._user, write)

    async def _serve(self, transaction: "_Transaction", fault: StoreFault | None) -> None:
        await transaction.run(undone=fault == "before")
        if transaction.written is not None:
            self._written(transaction.written)

    async def _change(self, conversation: str, change: Callable[[], Awaitable[None]]) -> None:
        async def changed() -> None:
            await change()
            self._observer.changed(self._user, conversation)

        await self._faulty.change(changed)


class _Transaction:
    """A transaction, seen from the database: a connection is lent, and a write comes back, or nothing does."""

    def __init__(self, store: UserStore, lease: Lease) -> None:
        self.connection = Reply[Any]()
        self.write = Reply[Append]()
        self.done = Reply[None]()
        self.written: Append | None = None
        self._store = store
        self._lease = lease

    async def run(self, *, undone: bool) -> None:
        """Run it to its end."""
        made: list[Append] = []

        async def work(connection: Any) -> Append:
            self.connection.give(connection)
            with anyio.move_on_after(_IDLE):
                made.append(await self.write.wait())
            if undone or not made:
                raise StoreUnavailable("the transaction was ended (simulated)")
            return made[0]

        try:
            await self._store.transact(self._lease, work)
        except Exception as error:  # noqa: BLE001  (it is the caller's)
            self.connection.fail(error)
            self.done.fail(error)
        else:
            self.written = made[0]  # at once: nobody else may come in between
            self.done.give(None)


async def _own(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _unheard(change: Callable[[], Coroutine[Any, Any, object]]) -> None:
    with suppress(AssistantKitError):
        await change()

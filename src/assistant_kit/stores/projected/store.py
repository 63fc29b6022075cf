"""A store around another one, which writes rows of the application in the transactions of that one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import ConversationNotFound, ProjectionFailed
from assistant_kit.protocols.projection import Projection
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
from assistant_kit.registry import is_hidden
from assistant_kit.stores._claims import given_back_on_failure
from assistant_kit.stores._rules import beginning, begun, check_append, check_claim, check_transaction
from assistant_kit.stores.projected.projecting import Projecting


class ProjectedStore:
    """Calls `projection` in the transaction of each write of records to `store`: both last, or neither does.

    `kept` is the wrapped store. What is written to it in another way is not projected. Raises ConfigurationError when
    `projection` is asynchronous.
    """

    def __init__(self, store: Store, projection: Projection) -> None:
        self.kept: Store = store
        self._projecting = Projecting(projection)

    def __repr__(self) -> str:
        return f"ProjectedStore({self.kept!r}, {self._projecting.name})"

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        return _UserStore(self.kept.for_user(user), user, self._projecting)

    async def open(self) -> None:
        """Open the wrapped store, and see that it has transactions. Raises NotTransactional, and what that store does.

        The first claim does so, too.
        """
        await self.kept.open()
        await self._projecting.check(self.kept.for_user("projection"))

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations in this state that nobody holds, the longest unchanged first."""
        return await self.kept.unfinished(state=state, limit=limit)

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in order."""
        return await self.kept.users(after=after, limit=limit)

    async def aclose(self) -> None:
        """Close the wrapped store."""
        await self.kept.aclose()


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_projecting", "_user", "kept")

    def __init__(self, kept: UserStore, user: str, projecting: Projecting) -> None:
        self.kept: UserStore = kept
        self._user = user
        self._projecting = projecting

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new; the first record of a turn is written behind that.

        If it cannot be written, the lease is given back; a conversation that was new is there then, and empty. Raises
        ConversationBusy, InputError, NotTransactional, ProjectionFailed.
        """
        check_claim(conversation, owner, ttl, begin)
        await self._projecting.check(self.kept)
        if begin is None or is_hidden(conversation):
            return await self.kept.claim(conversation, owner=owner, ttl=ttl, begin=begin)
        lease = await self.kept.claim(conversation, owner=owner, ttl=ttl)
        async with given_back_on_failure(self.kept, lease):
            has_begun = await self._begin(lease, begin)
        return begun(lease) if has_begun else lease

    async def _begin(self, lease: Lease, begin: NewRecord) -> bool:
        """Begin a turn, unless one is unfinished or this one was begun before; tell whether it was begun now."""
        if lease.state != "idle":
            return False
        if lease.seq and await self.kept.locate(lease.conversation, begin.record_id) is not None:
            return False
        await self.append(beginning(lease, begin))
        return True

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        await self.kept.renew(lease, ttl=ttl)

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self.kept.release(lease)

    async def append(self, write: Append) -> None:
        """Write records with their rows, all or none, durable on return.

        Raises LeaseLost, ConversationConflict, InputError, NotTransactional, ProjectionFailed.
        """
        check_append(write)
        if not self._projecting.sees(write):
            await self.kept.append(write)
            return

        async def work(_: Any) -> Append:
            return write

        await self.transact(write.lease, work)

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write with its rows in one transaction with what else is done in it.

        Raises what `append` does, and what `work` raises.
        """
        asked: list[Append] = []

        async def projected(connection: Any) -> Append:
            write = await work(connection)
            check_transaction(lease, write)
            if self._projecting.sees(write):
                asked.append(write)
                await self._projecting.project(connection, self._user, write)
            return write

        try:
            await self.kept.transact(lease, projected)
        except ProjectionFailed:
            if not asked or not await self._is_decided(asked[0]):
                raise
            await self.kept.append(asked[0])

    async def _is_decided(self, write: Append) -> bool:
        """Tell whether the store has a write already, or would refuse it: either way, offered alone it writes nothing.

        Rows whose keys are unique fail when a write is repeated, or made under a lease that was lost: what is wrong
        then is for the store to say.
        """
        conversation = write.lease.conversation
        try:
            newest = await self.kept.read(conversation, limit=1)
        except ConversationNotFound:
            return True
        if (newest[-1].seq if newest else 0) != write.expected_seq:
            return True
        places = [await self.kept.locate(conversation, record.record_id) for record in write.records]
        return any(place is not None for place in places)

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return the newest records that fit the limits, in order. Raises ConversationNotFound, InputError."""
        return await self.kept.read(conversation, after=after, before=before, max_tokens=max_tokens, limit=limit)

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        return await self.kept.locate(conversation, record_id)

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, InputError."""
        return await self.kept.info(conversation)

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        return await self.kept.conversations(limit=limit, before=before)

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title that lists show. Raises ConversationNotFound, InputError."""
        await self.kept.rename(conversation, title)

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another; the rows of these are the application's to copy.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        await self.kept.fork(conversation, new, at=at)

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`; rows of later ones are the application's to delete.

        Raises LeaseLost, InputError.
        """
        await self.kept.rewind(lease, to=to)

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records; its rows are the application's to delete.

        Raises ConversationNotFound, ConversationBusy, InputError.
        """
        await self.kept.delete(conversation)

    async def erase(self) -> int:
        """Delete all that is kept of this user but the application's rows; return the number of conversations."""
        return await self.kept.erase()

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the user's audit chain, in order."""
        return await self.kept.audit_log(after=after, limit=limit)

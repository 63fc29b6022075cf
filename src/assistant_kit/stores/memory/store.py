"""The store in memory, and the handle of one user on it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from itertools import islice
from operator import attrgetter
from typing import Any

from assistant_kit import audit_chain
from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import ConversationBusy, ConversationExists, StoreBusy
from assistant_kit.protocols.store import (
    Append,
    ConversationInfo,
    Lease,
    NewRecord,
    Record,
    TurnState,
    Unfinished,
    UserStore,
)
from assistant_kit.stores._rules import (
    Clock,
    beginning,
    begun,
    check_append,
    check_claim,
    check_name,
    check_place,
    check_title,
    check_transaction,
    check_ttl,
    tail,
)
from assistant_kit.stores.memory.journals import Conversation, Journals
from assistant_kit.stores.memory.turnstile import PATIENCE, Turnstile


class MemoryStore:
    """A store that ends with the process. Threads and event loops may share it.

    `clock` returns seconds since 1970; leases end by it. With `audit`, writes add links to the users' audit chains.
    A transaction that has been at work for `patience` seconds lets those that wait for it go first.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, audit: bool = False, patience: float = PATIENCE
    ) -> None:
        self._journals = Journals(clock=Clock(clock), audit=audit, turnstile=Turnstile(patience=patience))

    @property
    def tables(self) -> dict[str, Any]:
        """What the work of transactions has written, as of the last commit."""
        return self._journals.tables

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return _UserStore(self._journals, user)

    async def open(self) -> None:
        """Nothing has to be made ready."""

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations in this state that nobody holds, the longest unchanged first."""
        with self._journals.lock:
            now = self._journals.clock.now()
            free = [
                Unfinished(user=user, conversation=name, state=found.state, updated_at=found.updated_at)
                for user, name, found in self._journals.all()
                if found.state == state and found.held_for(now) <= 0
            ]
        return tuple(sorted(free, key=attrgetter("updated_at"))[: max(0, limit)])

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in order."""
        with self._journals.lock:
            known = self._journals.users.keys() | self._journals.chains.keys()
        # Python orders texts by code points, which is the order of their UTF-8 bytes.
        return tuple(sorted(user for user in known if user > after)[: max(0, limit)])

    async def aclose(self) -> None:
        """Nothing is held that must be freed: the journals live as long as this object."""


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_journals", "_user")

    def __init__(self, journals: Journals, user: str) -> None:
        self._journals = journals
        self._user = user

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        with self._journals.lock:
            now = self._journals.clock.now()
            found = self._find(conversation) or self._journals.make(self._user, conversation)
            held_for = found.held_for(now)
            if held_for > 0 and found.owner != owner:
                raise ConversationBusy(conversation, held_for)
            lease = found.take(conversation, owner=owner, now=now, ttl=ttl)
            if begin is None or found.state != "idle" or begin.record_id in found.seq_of:
                return lease
            self._journals.store(self._user, found, beginning(lease, begin))
            return begun(lease)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        with self._journals.lock:
            self._journals.held(self._user, lease).lease_until = self._journals.clock.now() + ttl

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        with self._journals.lock:
            found = self._find(lease.conversation)
            if found is not None and found.fence == lease.fence:
                found.give_up()

    async def append(self, write: Append) -> None:
        """Write records, all or none. Raises LeaseLost, ConversationConflict, InputError."""
        check_append(write)
        with self._journals.lock:
            found = self._journals.takes(self._user, write)
            if found is not None:
                self._journals.store(self._user, found, write)

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write together with what `work` changes in a copy of the store's `tables`.

        Transactions wait for each other, in the order in which they come; other writes wait for none, and the write
        of a transaction is checked when `work` has returned. So `work` may use the store, but no other transaction
        of it. Raises LeaseLost, ConversationConflict, InputError, StoreBusy when another transaction has not waited
        any longer, and what `work` raises.
        """
        async with self._journals.turnstile.turn():
            before = self._journals.tables
            tables = deepcopy(before)
            write = await work(tables)
            check_transaction(lease, write)
            with self._journals.lock:
                found = self._journals.takes(self._user, write)
                if found is None:  # a repeated write: what its work did is in the tables already
                    return
                if self._journals.tables is not before:  # each commit puts another dict in its place
                    raise StoreBusy("this transaction took too long, and another one has taken place meanwhile")
                self._journals.store(self._user, found, write)
                self._journals.tables = tables

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
        check_name("conversation", conversation)
        with self._journals.lock:
            records = self._journals.get(self._user, conversation).records
            end = len(records) if before is None else min(len(records), before - 1)
            newest_first = (records[index] for index in range(end - 1, max(0, after) - 1, -1))
            return tail(newest_first if limit is None else islice(newest_first, max(0, limit)), max_tokens)

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        with self._journals.lock:
            found = self._find(conversation)
            return None if found is None else found.seq_of.get(record_id)

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        with self._journals.lock:
            return self._journals.get(self._user, conversation).info(conversation)

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        with self._journals.lock:
            infos = [
                found.info(name)
                for name, found in self._journals.users.get(self._user, {}).items()
                if before is None or found.updated_at < before
            ]
        return tuple(sorted(infos, key=attrgetter("updated_at"), reverse=True)[: max(0, limit)])

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the order of the list stays. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        check_title(title)
        with self._journals.lock:
            found = self._journals.get(self._user, conversation)
            if found.title != title:
                found.title = title
                self._journals.note(self._user, audit_chain.renamed(conversation, title))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        check_name("conversation", conversation)
        check_name("conversation", new)
        with self._journals.lock:
            source = self._journals.get(self._user, conversation)
            check_place(conversation, at, records=len(source.records))
            there = self._find(new)
            if there is not None:
                if there.forked_from != (conversation, at):
                    raise ConversationExists(new)
                return
            made = self._journals.make(self._user, new, above=source.fence)
            made.forked_from = (conversation, at)
            made.records = source.records[:at]
            made.seq_of = {record.record_id: record.seq for record in made.records}
            self._journals.note(self._user, audit_chain.forked(new, source=conversation, at=at))

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`. Raises LeaseLost, InputError."""
        with self._journals.lock:
            found = self._journals.held(self._user, lease)
            check_place(lease.conversation, to, records=len(found.records))
            if (len(found.records), found.state) != (to, "idle"):
                found.cut(to, self._journals.clock.tick())
                self._journals.note(self._user, audit_chain.rewound(lease.conversation, to=to))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        with self._journals.lock:
            held_for = self._journals.get(self._user, conversation).held_for(self._journals.clock.now())
            if held_for > 0:
                raise ConversationBusy(conversation, held_for)
            self._journals.drop(self._user, conversation)
            self._journals.note(self._user, audit_chain.deleted(conversation))

    async def erase(self) -> int:
        """Delete all that is kept of this user, and return the number of conversations."""
        with self._journals.lock:
            mine = list(self._journals.users.get(self._user, {}))
            for conversation in mine:
                self._journals.drop(self._user, conversation)
            if self._journals.audit and (mine or self._user in self._journals.chains):
                self._journals.bury_chain(self._user)
            return len(mine)

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the user's audit chain, in order."""
        with self._journals.lock:
            chain = self._journals.chains.get(self._user, [])
            return tuple(chain[max(0, after) :][: max(0, limit)])

    def _find(self, conversation: str) -> Conversation | None:
        return self._journals.find(self._user, conversation)

"""Journals in the memory of this process: for tests, for trying things out, and for conversations that may be lost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from threading import Lock

from assistant_kit.errors import ConversationBusy, ConversationConflict, ConversationNotFound, LeaseLost
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record, TurnState, UserStore
from assistant_kit.stores._rules import Clock, beginning, begun, check_append, check_claim, check_name, check_ttl, tail


@dataclass(slots=True, kw_only=True)
class _Conversation:
    """A journal and who may write to it. `owner` is None when nobody holds it."""

    fence: int
    created_at: float
    updated_at: float
    owner: str | None = None
    lease_until: float = 0.0
    state: TurnState = "idle"
    open_turn: int | None = None
    records: list[Record] = field(default_factory=list[Record])
    seq_of: dict[str, int] = field(default_factory=dict[str, int])

    def held_for(self, now: float) -> float:
        """Return for how many seconds somebody still holds the conversation: 0 or less when nobody does."""
        return 0.0 if self.owner is None else self.lease_until - now

    def give_up(self) -> None:
        """End the lease. The fence moves on, so that nothing of the old holder that is still under way gets through."""
        self.owner = None
        self.fence += 1

    def has(self, write: Append) -> bool:
        """Whether this very write took place before."""
        first = write.expected_seq
        stored = self.records[first : first + len(write.records)]
        return bool(stored) and [record.record_id for record in stored] == [new.record_id for new in write.records]


class MemoryStore:
    """A store that ends with the process. Threads and event loops may share it.

    `clock` returns seconds since 1970; leases end by it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._state = _State(clock=Clock(clock))

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return _UserStore(self._state, user)

    async def aclose(self) -> None:
        """Nothing is held that must be freed: the journals live as long as this object."""


@dataclass(slots=True, kw_only=True)
class _State:
    """All journals. `lock` is held for every look at them, and never while anything waits."""

    clock: Clock
    lock: Lock = field(default_factory=Lock)
    users: dict[str, dict[str, _Conversation]] = field(default_factory=dict[str, dict[str, _Conversation]])
    deleted_fence: int = 0  # a conversation made anew begins above it: an old lease on its name opens nothing


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_state", "_user")

    def __init__(self, state: _State, user: str) -> None:
        self._state = state
        self._user = user

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        with self._state.lock:
            now = self._state.clock.now()
            found = self._find(conversation) or self._make(conversation)
            held_for = found.held_for(now)
            if held_for > 0 and found.owner != owner:
                raise ConversationBusy(conversation, held_for)
            found.owner = owner
            found.fence += 1
            found.lease_until = now + ttl
            lease = Lease(
                conversation=conversation,
                owner=owner,
                fence=found.fence,
                seq=len(found.records),
                at=now,
                state=found.state,
                open_turn=found.open_turn,
            )
            if begin is None or found.state != "idle" or begin.record_id in found.seq_of:
                return lease
            self._store(found, beginning(lease, begin))
            return begun(lease)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        with self._state.lock:
            self._held(lease).lease_until = self._state.clock.now() + ttl

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        with self._state.lock:
            found = self._find(lease.conversation)
            if found is not None and found.fence == lease.fence:
                found.give_up()

    async def append(self, write: Append) -> None:
        """Write records, all or none. Raises LeaseLost, ConversationConflict, InputError."""
        check_append(write)
        with self._state.lock:
            found = self._find(write.lease.conversation)
            if found is None or self._is_stale(found, write):
                raise LeaseLost(write.lease.conversation)
            if found.has(write):
                return
            seq = len(found.records)
            if seq != write.expected_seq or any(new.record_id in found.seq_of for new in write.records):
                raise ConversationConflict(write.lease.conversation, expected=write.expected_seq, found=seq)
            self._store(found, write)

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
        with self._state.lock:
            found = self._find(conversation)
            if found is None:
                raise ConversationNotFound(conversation)
            records = found.records
            end = len(records) if before is None else min(len(records), before - 1)
            newest_first = (records[index] for index in range(end - 1, max(0, after) - 1, -1))
            return tail(newest_first if limit is None else islice(newest_first, max(0, limit)), max_tokens)

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        with self._state.lock:
            found = self._find(conversation)
            return None if found is None else found.seq_of.get(record_id)

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        with self._state.lock:
            mine = self._state.users.get(self._user, {})
            infos = [
                ConversationInfo(
                    conversation=name,
                    records=len(found.records),
                    state=found.state,
                    created_at=found.created_at,
                    updated_at=found.updated_at,
                )
                for name, found in mine.items()
                if before is None or found.updated_at < before
            ]
        return tuple(sorted(infos, key=attrgetter("updated_at"), reverse=True)[: max(0, limit)])

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        with self._state.lock:
            found = self._find(conversation)
            if found is None:
                raise ConversationNotFound(conversation)
            held_for = found.held_for(self._state.clock.now())
            if held_for > 0:
                raise ConversationBusy(conversation, held_for)
            self._state.deleted_fence = max(self._state.deleted_fence, found.fence)
            del self._state.users[self._user][conversation]

    def _find(self, conversation: str) -> _Conversation | None:
        return self._state.users.get(self._user, {}).get(conversation)

    def _make(self, conversation: str) -> _Conversation:
        at = self._state.clock.tick()
        made = _Conversation(fence=self._state.deleted_fence, created_at=at, updated_at=at)
        self._state.users.setdefault(self._user, {})[conversation] = made
        return made

    def _held(self, lease: Lease) -> _Conversation:
        found = self._find(lease.conversation)
        if found is None or found.fence != lease.fence:
            raise LeaseLost(lease.conversation)
        return found

    @staticmethod
    def _is_stale(found: _Conversation, write: Append) -> bool:
        if found.fence == write.lease.fence:
            return False
        # A last write that gave the lease up may be repeated: it took place if these are its records.
        last = write.expected_seq + len(write.records)
        return not (write.release and found.has(write) and found.records[last - 1].fence == write.lease.fence)

    def _store(self, found: _Conversation, write: Append) -> None:
        at = self._state.clock.tick()
        total = found.records[-1].total_tokens if found.records else 0
        for seq, new in enumerate(write.records, start=write.expected_seq + 1):
            total += new.tokens
            found.seq_of[new.record_id] = seq
            found.records.append(
                Record(
                    seq=seq,
                    record_id=new.record_id,
                    kind=new.kind,
                    body=new.body,
                    tokens=new.tokens,
                    total_tokens=total,
                    fence=write.lease.fence,
                    at=at,
                )
            )
        found.state = write.state
        found.open_turn = write.open_turn
        found.updated_at = at
        if write.release:
            found.give_up()

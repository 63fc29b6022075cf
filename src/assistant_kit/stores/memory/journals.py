"""What the memory store holds, and how a write changes it. Whoever calls holds the lock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from assistant_kit import audit_chain
from assistant_kit.audit_chain import AuditLink, AuditNote
from assistant_kit.errors import ConversationConflict, ConversationNotFound, LeaseLost
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record, TurnState
from assistant_kit.stores._rules import Clock, chained, name_of_erased, noted
from assistant_kit.stores.memory.turnstile import Turnstile


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A journal and who may write to it. `owner` is None when nobody holds it.

    `forked_from` is the source and the place of the fork that made it, until something is written, or that is deleted.
    """

    fence: int
    created_at: float
    updated_at: float
    title: str = ""
    owner: str | None = None
    lease_until: float = 0.0
    state: TurnState = "idle"
    open_turn: int | None = None
    forked_from: tuple[str, int] | None = None
    records: list[Record] = field(default_factory=list[Record])
    seq_of: dict[str, int] = field(default_factory=dict[str, int])

    def info(self, name: str) -> ConversationInfo:
        """Return what lists show of it."""
        return ConversationInfo(
            conversation=name,
            records=len(self.records),
            state=self.state,
            created_at=self.created_at,
            updated_at=self.updated_at,
            title=self.title,
        )

    def held_for(self, now: float) -> float:
        """Return for how many seconds somebody still holds the conversation: 0 or less when nobody does."""
        return 0.0 if self.owner is None else self.lease_until - now

    def take(self, conversation: str, *, owner: str, now: float, ttl: float) -> Lease:
        """Give the lease to `owner`."""
        self.owner = owner
        self.fence += 1
        self.lease_until = now + ttl
        return Lease(
            conversation=conversation,
            owner=owner,
            fence=self.fence,
            seq=len(self.records),
            at=now,
            state=self.state,
            open_turn=self.open_turn,
        )

    def give_up(self) -> None:
        """End the lease. The fence moves on, so that nothing of the old holder that is still under way gets through."""
        self.owner = None
        self.fence += 1

    def takes(self, write: Append) -> bool:
        """Whether the write is to be made; False when it took place before. Raises LeaseLost, ConversationConflict."""
        if self.fence != write.lease.fence and not self._gave_up_by(write):
            raise LeaseLost(write.lease.conversation)
        if self._has(write):
            return False
        seq = len(self.records)
        if seq != write.expected_seq or any(new.record_id in self.seq_of for new in write.records):
            raise ConversationConflict(write.lease.conversation, expected=write.expected_seq, found=seq)
        return True

    def _has(self, write: Append) -> bool:
        first = write.expected_seq
        stored = self.records[first : first + len(write.records)]
        return bool(stored) and [record.record_id for record in stored] == [new.record_id for new in write.records]

    def _gave_up_by(self, write: Append) -> bool:
        """Whether this very write gave the lease up: it may be repeated."""
        last = write.expected_seq + len(write.records)
        return write.release and self._has(write) and self.records[last - 1].fence == write.lease.fence

    def store(self, write: Append, at: float) -> None:
        """Make the write."""
        self._add(write.records, fence=write.lease.fence, at=at)
        self._change(write.state, write.open_turn, at)
        if write.release:
            self.give_up()

    def _add(self, records: Sequence[NewRecord], *, fence: int, at: float) -> None:
        total = self.records[-1].total_tokens if self.records else 0
        for seq, new in enumerate(records, start=len(self.records) + 1):
            total += new.tokens
            self.seq_of[new.record_id] = seq
            self.records.append(
                Record(
                    seq=seq,
                    record_id=new.record_id,
                    kind=new.kind,
                    body=new.body,
                    tokens=new.tokens,
                    total_tokens=total,
                    fence=fence,
                    at=at,
                )
            )

    def cut(self, to: int, at: float) -> None:
        """Forget the records after `to`."""
        for record in self.records[to:]:
            del self.seq_of[record.record_id]
        del self.records[to:]
        self._change("idle", None, at)

    def _change(self, state: TurnState, open_turn: int | None, at: float) -> None:
        self.state = state
        self.open_turn = open_turn
        self.updated_at = at
        self.forked_from = None


@dataclass(slots=True, kw_only=True)
class Journals:
    """All journals and audit chains. `lock` is held for every look at them, and never while anything waits."""

    clock: Clock
    audit: bool
    turnstile: Turnstile
    lock: Lock = field(default_factory=Lock)
    tables: dict[str, Any] = field(default_factory=dict[str, Any])
    users: dict[str, dict[str, Conversation]] = field(default_factory=dict[str, dict[str, Conversation]])
    chains: dict[str, list[AuditLink]] = field(default_factory=dict[str, list[AuditLink]])
    dropped_fence: int = 0  # the highest of a conversation that is gone

    def find(self, user: str, conversation: str) -> Conversation | None:
        """Return a conversation, or None."""
        return self.users.get(user, {}).get(conversation)

    def get(self, user: str, conversation: str) -> Conversation:
        """Return a conversation. Raises ConversationNotFound."""
        found = self.find(user, conversation)
        if found is None:
            raise ConversationNotFound(conversation)
        return found

    def held(self, user: str, lease: Lease) -> Conversation:
        """Return the conversation that `lease` opens. Raises LeaseLost."""
        found = self.find(user, lease.conversation)
        if found is None or found.fence != lease.fence:
            raise LeaseLost(lease.conversation)
        return found

    def all(self) -> Iterator[tuple[str, str, Conversation]]:
        """Return the conversations of all users, with their users and names."""
        return ((user, name, found) for user, theirs in self.users.items() for name, found in theirs.items())

    def make(self, user: str, conversation: str, *, above: int = 0) -> Conversation:
        """Make a conversation whose fences are above those of its first records, and of any old lease on its name."""
        at = self.clock.tick()
        made = Conversation(fence=max(self.dropped_fence, above) + 1, created_at=at, updated_at=at)
        self.users.setdefault(user, {})[conversation] = made
        return made

    def takes(self, user: str, write: Append) -> Conversation | None:
        """Return the conversation to which to write, or None for a repeated write.

        Raises LeaseLost, ConversationConflict.
        """
        found = self.find(user, write.lease.conversation)
        if found is None:
            raise LeaseLost(write.lease.conversation)
        return found if found.takes(write) else None

    def store(self, user: str, found: Conversation, write: Append) -> None:
        """Make a write that may be made."""
        at = self.clock.tick()
        found.store(write, at)
        note = noted(write)
        if note is not None:
            self.note(user, note, at=at)

    def drop(self, user: str, conversation: str) -> None:
        """Forget a conversation."""
        theirs = self.users[user]
        self.dropped_fence = max(self.dropped_fence, theirs.pop(conversation).fence)
        for left in theirs.values():
            if left.forked_from is not None and left.forked_from[0] == conversation:
                left.forked_from = None
        if not theirs:
            del self.users[user]

    def note(self, user: str, note: AuditNote, *, at: float | None = None) -> None:
        """Add a link to the user's audit chain, if there are any chains; `at` is the time of the records it notes."""
        if self.audit:
            chain = self.chains.setdefault(user, [])
            chain.append(chained(chain[-1] if chain else None, note, at=self.clock.tick() if at is None else at))

    def bury_chain(self, user: str) -> None:
        """Let what the user's audit chain says be forgotten, and pass the chain to a made-up user."""
        nameless = name_of_erased()
        self.chains[nameless] = [replace(link, payload=None, salt=None) for link in self.chains.pop(user, [])]
        self.note(nameless, audit_chain.erased())

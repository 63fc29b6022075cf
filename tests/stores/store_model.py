"""What a store does, as a model that a reader can check by eye: each method raises or returns what the store should."""

from dataclasses import dataclass, field
from typing import TypeAlias

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    InputError,
    LeaseLost,
)
from assistant_kit.protocols.store import Append, Lease, TurnState

Key: TypeAlias = tuple[str, str]
"""A user and a conversation."""

Stored: TypeAlias = tuple[str, int, int]
"""A record: its id, its tokens and the fence it was written with."""


@dataclass
class Journal:
    """A conversation. Its holder writes with `fence` until `until`; `fork_of` is set until something is written."""

    owner: str | None = None
    fence: int | None = None
    until: float = 0.0
    records: list[Stored] = field(default_factory=list[Stored])
    state: TurnState = "idle"
    open_turn: int | None = None
    title: str = ""
    fork_of: tuple[str, int] | None = None

    def busy_for(self, now: float) -> float:
        return self.until - now if self.owner else 0.0

    def give_up(self) -> None:
        self.owner = self.fence = None

    def ids(self) -> list[str]:
        return [record_id for record_id, _, _ in self.records]


@dataclass
class StoreModel:
    """All conversations, the one that was changed last at the end."""

    now: float = 1_000_000.0
    journals: dict[Key, Journal] = field(default_factory=dict[Key, Journal])
    fences: dict[Key, int] = field(default_factory=dict[Key, int])  # the highest ever, also of deleted ones
    noted: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # the audit chains

    def claim(self, user: str, name: str, owner: str, ttl: float, begin: str, fence: int) -> object:
        """The store chooses the `fence`."""
        journal = self.journals.get((user, name), Journal())
        if journal.owner != owner and journal.busy_for(self.now) > 0:
            raise ConversationBusy(name, journal.busy_for(self.now))
        if (user, name) not in self.journals:
            self.change(user, name, journal)
        assert fence > self.fences.get((user, name), 0)
        assert all(fence > written for _, _, written in journal.records)
        self.fences[user, name] = fence
        journal.owner, journal.fence, journal.until = owner, fence, self.now + ttl
        begins = bool(begin) and journal.state == "idle" and begin not in journal.ids()
        if begins:
            journal.records.append((begin, 1, fence))
            journal.state, journal.open_turn = "open", len(journal.records)
            self.change(user, name, journal)
            self.note(user, "append")
        return len(journal.records), journal.state, journal.open_turn, begins

    def held(self, user: str, lease: Lease) -> Journal:
        journal = self.journals.get((user, lease.conversation))
        if journal is None or journal.fence != lease.fence:
            raise LeaseLost(lease.conversation)
        return journal

    def renew(self, user: str, lease: Lease, ttl: float) -> None:
        self.held(user, lease).until = self.now + ttl

    def release(self, user: str, lease: Lease) -> None:
        journal = self.journals.get((user, lease.conversation))
        if journal is not None and journal.fence == lease.fence:
            journal.give_up()

    def append(self, user: str, write: Append) -> None:
        name, first = write.lease.conversation, write.expected_seq
        journal = self.journals.get((user, name), Journal())
        new = [record.record_id for record in write.records]
        there = journal.records[first : first + len(new)]
        repeated = bool(new) and [record_id for record_id, _, _ in there] == new
        gave_up = repeated and write.release and there[-1][2] == write.lease.fence
        if journal.fence != write.lease.fence and not gave_up:
            raise LeaseLost(name)
        if repeated:
            return
        if first != len(journal.records) or set(new) & set(journal.ids()):
            raise ConversationConflict(name, expected=first, found=len(journal.records))
        journal.records += [(record.record_id, record.tokens, write.lease.fence) for record in write.records]
        journal.state, journal.open_turn = write.state, write.open_turn
        if write.release:
            journal.give_up()
        self.change(user, name, journal)
        if new:
            self.note(user, "append")

    def rewind(self, user: str, lease: Lease, to: int) -> None:
        journal = self.held(user, lease)
        if not 0 <= to <= len(journal.records):
            raise InputError("no such record")
        if (len(journal.records), journal.state) != (to, "idle"):
            del journal.records[to:]
            journal.state, journal.open_turn = "idle", None
            self.change(user, lease.conversation, journal)
            self.note(user, "rewind")

    def fork(self, user: str, name: str, new: str, at: int) -> None:
        source = self.find(user, name)
        if not 0 <= at <= len(source.records):
            raise InputError("no such record")
        if (user, new) in self.journals:
            if self.journals[user, new].fork_of != (name, at):
                raise ConversationExists(new)
            return
        self.change(user, new, Journal(records=source.records[:at]))
        self.journals[user, new].fork_of = (name, at)
        self.note(user, "fork")

    def rename(self, user: str, name: str, title: str) -> None:
        journal = self.find(user, name)
        if journal.title != title:
            journal.title = title
            self.note(user, "rename")

    def delete(self, user: str, name: str) -> None:
        busy_for = self.find(user, name).busy_for(self.now)
        if busy_for > 0:
            raise ConversationBusy(name, busy_for)
        self.drop(user, name)
        self.note(user, "delete")

    def erase(self, user: str) -> int:
        names = [name for owner, name in self.journals if owner == user]
        for name in names:
            self.drop(user, name)
        self.noted.pop(user, None)
        return len(names)

    def read(
        self, user: str, name: str, after: int, before: int | None, max_tokens: int | None, limit: int | None
    ) -> object:
        read: list[tuple[int, str, int, int, int]] = []
        total = 0
        for seq, (record_id, tokens, fence) in enumerate(self.find(user, name).records, start=1):
            total += tokens
            if after < seq and (before is None or seq < before):
                read.append((seq, record_id, tokens, total, fence))
        while read and max_tokens is not None and (max_tokens < 0 or sum(row[2] for row in read) > max_tokens):
            read.pop(0)
        return read if limit is None else read[max(0, len(read) - max(0, limit)) :]

    def locate(self, user: str, name: str, record_id: str) -> int | None:
        ids = self.journals.get((user, name), Journal()).ids()
        return ids.index(record_id) + 1 if record_id in ids else None

    def info(self, user: str, name: str) -> object:
        journal = self.find(user, name)
        return name, len(journal.records), journal.state, journal.title

    def listed(self, user: str) -> object:
        """What a list of conversations shows, what is in them, and the audit chain."""
        return [
            (name, journal.state, journal.title, journal.records)
            for (owner, name), journal in reversed(self.journals.items())
            if owner == user
        ], self.noted.get(user, [])

    def unfinished(self, state: TurnState) -> object:
        return [
            key for key, journal in self.journals.items() if journal.state == state and journal.busy_for(self.now) <= 0
        ]

    def users(self) -> object:
        return sorted({user for user, _ in self.journals} | {user for user, noted in self.noted.items() if noted})

    def find(self, user: str, name: str) -> Journal:
        if (user, name) not in self.journals:
            raise ConversationNotFound(name)
        return self.journals[user, name]

    def change(self, user: str, name: str, journal: Journal) -> None:
        self.journals.pop((user, name), None)
        self.journals[user, name] = journal
        journal.fork_of = None

    def drop(self, user: str, name: str) -> None:
        del self.journals[user, name]
        for (owner, _), journal in self.journals.items():
            if owner == user and journal.fork_of and journal.fork_of[0] == name:
                journal.fork_of = None

    def note(self, user: str, what: str) -> None:
        self.noted.setdefault(user, []).append(what)

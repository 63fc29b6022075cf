"""Bugs of a store: of its checks, leases, order, isolation and transactions."""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from assistant_kit.errors import LeaseLost, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, Record
from assistant_kit.stores.memory import journals, store
from assistant_kit.stores.memory.journals import Conversation
from assistant_kit.stores.memory.store import MemoryStore
from assistant_kit.testing.simulation.virtual_loop import EPOCH
from tests.simulation.mutants.planting import Swap, always, always_soon, mutant, of

UserStore = of(store, "_UserStore")


@mutant
def no_fence_check() -> Sequence[Swap]:
    """A write is taken whoever has the lease."""

    def takes(self: Any, write: Append) -> bool:
        if self._has(write):
            return False
        if len(self.records) != write.expected_seq:
            raise LeaseLost(write.lease.conversation)
        return True

    return [(Conversation, "takes", takes)]


@mutant
def no_seq_check() -> Sequence[Swap]:
    """A write is taken wherever the journal ends, and a repeated one again."""

    def takes(self: Any, write: Append) -> bool:
        if self.fence != write.lease.fence:
            raise LeaseLost(write.lease.conversation)
        return True

    return [(Conversation, "takes", takes)]


@mutant
def repeated_append_not_recognised() -> Sequence[Swap]:
    """A write that was made already, and whose acknowledgement was lost, is made again."""
    takes = of(Conversation, "takes")

    def took(self: Any, write: Append) -> bool:
        if self.fence == write.lease.fence and write.records and self._has(write):
            return True
        return takes(self, write)

    return [(Conversation, "takes", took)]


@mutant
def append_not_atomic() -> Sequence[Swap]:
    """A write of several records may end after the first."""
    store_ = of(Conversation, "store")

    def half(self: Any, write: Append, at: float) -> None:
        if len(write.records) > 1 and random.random() < 0.1:
            store_(self, replace(write, records=write.records[:1], state="open", release=False), at)
            raise StoreUnavailable("the connection is gone (simulated)")
        store_(self, write, at)

    return [(Conversation, "store", half)]


@mutant
def fence_does_not_grow() -> Sequence[Swap]:
    """A new lease has the fence of the old one."""
    take = of(Conversation, "take")

    def took(self: Any, *args: Any, **how: Any) -> Any:
        self.fence = max(1, self.fence - 1)
        return take(self, *args, **how)

    return [(Conversation, "take", took)]


@mutant
def lease_stolen_before_its_end() -> Sequence[Swap]:
    """Whoever comes gets the lease."""
    return [(Conversation, "held_for", always(0.0))]


@mutant
def lease_by_the_clock_of_the_worker() -> Sequence[Swap]:
    """A lease ends by the clock of whoever wants it."""

    def held_for(self: Any, now: float) -> float:
        skew = time.time() - time.monotonic() - EPOCH
        return 0.0 if self.owner is None else self.lease_until - (now + skew)

    return [(Conversation, "held_for", held_for)]


@mutant
def renewal_ignored() -> Sequence[Swap]:
    """A lease ends when it would have without being renewed."""

    async def renew(self: Any, lease: Lease, *, ttl: float) -> None:
        del ttl
        self._journals.held(self._user, lease)

    return [(UserStore, "renew", renew)]


@mutant
def lost_lease_renewed() -> Sequence[Swap]:
    """A lease can be renewed although somebody else has it."""

    async def renew(self: Any, lease: Lease, *, ttl: float) -> None:
        found = self._find(lease.conversation)
        found.lease_until = self._journals.clock.now() + ttl

    return [(UserStore, "renew", renew)]


@mutant
def lease_not_released_by_the_store() -> Sequence[Swap]:
    """Giving a lease up does nothing."""
    return [(Conversation, "give_up", always(None))]


@mutant
def release_lets_the_old_fence_live() -> Sequence[Swap]:
    """Who has given the lease up can still write, until the next one comes."""

    def give_up(self: Any) -> None:
        self.owner = None

    return [(Conversation, "give_up", give_up)]


@mutant
def no_owner_check() -> Sequence[Swap]:
    """All users share their conversations."""
    for_user = of(MemoryStore, "for_user")

    def for_everybody(self: Any, user: str) -> Any:
        del user
        return for_user(self, "everybody")

    return [(MemoryStore, "for_user", for_everybody)]


@mutant
def tail_in_the_wrong_order() -> Sequence[Swap]:
    """What is read of a journal by its budget begins with the newest."""
    tail = of(store, "tail")

    def backwards(newest_first: Iterable[Record], max_tokens: int | None) -> Sequence[Record]:
        found = tail(newest_first, max_tokens)
        return found if max_tokens is None else tuple(reversed(found))

    return [(store, "tail", backwards)]


@mutant
def open_turn_forgotten() -> Sequence[Swap]:
    """A conversation is idle as soon as a tool of its turn has ended."""
    store_ = of(Conversation, "store")

    def stored(self: Any, write: Append, at: float) -> None:
        if any(record.kind == "tool_finished" for record in write.records):
            write = replace(write, state="idle", open_turn=None)
        store_(self, write, at)

    return [(Conversation, "store", stored)]


@mutant
def unfinished_turns_not_listed() -> Sequence[Swap]:
    """The store lists no turns to recover."""
    return [(MemoryStore, "unfinished", always_soon(()))]


@mutant
def transaction_not_undone() -> Sequence[Swap]:
    """What a transaction has done lasts, whether it commits or not."""

    def same(tables: Any) -> Any:
        return tables

    return [(store, "deepcopy", same)]


@mutant
def audit_forgets() -> Sequence[Swap]:
    """Now and then a write is not noted in the audit chain."""
    note = of(journals.Journals, "note")

    def noted(self: Any, user: str, what: Any) -> None:
        if random.random() < 0.9:
            note(self, user, what)

    return [(journals.Journals, "note", noted)]

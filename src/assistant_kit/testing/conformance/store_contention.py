"""Many workers on few conversations: they die, wake up too late, and repeat what they do not know to have done."""
# ruff: noqa: D102, PLR2004, S101, S311  (these are tests; their randomness has a seed and keeps no secrets)

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import ClassVar

import anyio
import anyio.lowlevel

from assistant_kit.errors import ConversationBusy, LeaseLost
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, UserStore
from assistant_kit.testing.conformance.store_workbench import StoreWorkbench, new, writing

WHOLE: list[tuple[str, ...]] = [("begun", "half", "done"), ("begun", "closed"), ("begun", "half", "closed")]
"""What a turn consists of: who finds one whose worker has gone closes it."""


class StoreContention(StoreWorkbench):
    """Turns on one conversation follow each other, none of them mixed with another, lost or doubled in any part."""

    workers: ClassVar[int] = 50
    contended: ClassVar[int] = 20
    turns: ClassVar[int] = 3
    """Turns of each worker; raise it for a longer test."""

    async def test_no_turn_of_many_workers_is_lost_doubled_or_mixed_with_another(self, alice: UserStore) -> None:
        began = anyio.current_time()
        await self.advance(self.ttl)
        # Where time is the test's own, all who wait together let it pass as fast as one does elsewhere.
        settable = anyio.current_time() - began < self.ttl / 2
        tally = Tally(pause=self.ttl / (10 * self.workers if settable else 10))
        with anyio.fail_after(240):
            async with anyio.create_task_group() as tasks:
                for n in range(self.workers):
                    tasks.start_soon(self._work, alice, n, tally)

        journals = [await alice.read(f"c{n}") for n in range(self.contended)]
        for journal in journals:
            fences = [record.fence for record in journal]
            assert fences == sorted(fences)
            turns = turns_of(journal)
            assert all(steps in WHOLE for steps in turns[:-1]), turns
            assert any(steps == whole[: len(steps)] for steps in turns[-1:] for whole in WHOLE), turns
        assert Counter(record.record_id for journal in journals for record in journal) == tally.written
        # The workers did what this test is about:
        expected = ("finished", "died", "closed", "repeated", "ConversationBusy", "LeaseLost")
        assert min(tally.happened[what] for what in expected) > 0, tally.happened

    async def _work(self, user: UserStore, number: int, tally: "Tally") -> None:
        random = Random(number)
        for n in range(self.turns):
            turn = Turn(
                user=user,
                conversation=f"c{(number + n * random.randrange(self.contended)) % self.contended}",
                worker=f"w{number}",
                name=f"w{number}-{n}",
                tally=tally,
                random=random,
                # The first turn of some is one that others wait for.
                fate="freezes" if n == 0 and number < self.contended / 2 else random.choice(FATES),
            )
            while not await self._attempt(turn):
                await self._wait(tally)

    async def _attempt(self, turn: "Turn") -> bool:
        """Try to make a turn; return whether it is over, finished or given up."""
        await anyio.lowlevel.checkpoint()
        try:
            lease = await turn.claim(self.ttl)
            if not lease.begun:
                return await turn.clear_up(lease)
            await anyio.lowlevel.checkpoint()
            await turn.write(writing(lease, lease.seq, turn.record("half"), open_turn=lease.open_turn))
            if turn.fate == "dies":
                turn.tally.happened["died"] += 1
                return True
            if turn.fate == "freezes":
                await self._freeze(turn)
            await turn.finish(lease)
        except (ConversationBusy, LeaseLost) as error:
            turn.tally.happened[type(error).__name__] += 1
            return turn.begun
        return True

    async def _freeze(self, turn: "Turn") -> None:
        """Do nothing until somebody has closed the turn, or nobody does."""
        patience = 40
        while patience and not await turn.user.locate(turn.conversation, turn.record("closed").record_id):
            patience -= 1
            await self._wait(turn.tally)

    async def _wait(self, tally: "Tally") -> None:
        await anyio.lowlevel.checkpoint()
        await self.advance(tally.pause)


FATES = ["lives", "lives", "lives", "lives", "lives", "dies", "freezes"]


@dataclass(kw_only=True)
class Tally:
    """What was written, as the workers know it, and what happened to them; they wait for `pause` seconds at a time."""

    pause: float
    written: Counter[str] = field(default_factory=Counter[str])
    happened: Counter[str] = field(default_factory=Counter[str])


@dataclass(kw_only=True)
class Turn:
    """A turn that a worker is to make, and how it ends."""

    user: UserStore
    conversation: str
    worker: str
    name: str
    tally: Tally
    random: Random
    fate: str
    begun: bool = False

    def record(self, step: str) -> NewRecord:
        return new(f"{self.name}.{step}")

    async def claim(self, ttl: float) -> Lease:
        """Claim the conversation, and begin the turn; at times twice, because the answer was lost."""
        begin = self.record("begun")
        lease = await self.user.claim(self.conversation, owner=self.worker, ttl=ttl, begin=begin)
        if lease.begun:
            self.begun = True
            self.tally.written[begin.record_id] += 1
        if self.random.random() < 0.1:
            self.tally.happened["repeated"] += 1
            lease = await self.user.claim(self.conversation, owner=self.worker, ttl=ttl, begin=begin)
        return lease

    async def write(self, write: Append) -> None:
        """Write, at times twice, because the answer was lost."""
        await self.user.append(write)
        self.tally.written.update(record.record_id for record in write.records)
        if self.random.random() < 0.2:
            self.tally.happened["repeated"] += 1
            await anyio.lowlevel.checkpoint()
            await self.user.append(write)

    async def finish(self, lease: Lease) -> None:
        """Write the end of the turn."""
        at = lease.seq + 1
        await self.write(writing(lease, at, self.record("done"), state="idle", open_turn=None, release=True))
        self.tally.happened["finished"] += 1

    async def clear_up(self, lease: Lease) -> bool:
        """Close the turn that stands open, this or another; return whether this one is over."""
        standing = await self.user.read(self.conversation, after=(lease.open_turn or lease.seq + 1) - 1)
        closing = [new(f"{turn_of(begin)}.closed") for begin in standing[:1]]
        await self.write(writing(lease, lease.seq, *closing, state="idle", open_turn=None, release=True))
        self.tally.happened["closed"] += len(closing)
        return self.begun


def turn_of(record: Record) -> str:
    """Return the name of the turn of which a record is a part."""
    return record.record_id.partition(".")[0]


def turns_of(journal: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return the steps of each turn, in the order of the journal."""
    return [
        tuple(record.record_id.partition(".")[2] for record in records) for _, records in groupby(journal, key=turn_of)
    ]

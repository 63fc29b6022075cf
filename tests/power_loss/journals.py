"""What one life of a store does to its conversations, and what of it must be found after a power cut."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores.sqlite import history, journal
from assistant_kit.stores.sqlite.file import commit
from assistant_kit.worker_thread import Job

USER = "u"

State = tuple[str, ...] | None
"""The ids of a conversation's records; None when there is no such conversation."""

Action = Callable[[sqlite3.Connection], object]


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A conversation's states, one after another. The first `acknowledged` + 1 of them were acknowledged."""

    name: str
    states: list[State] = field(default_factory=lambda: [None])
    acknowledged: int = 0
    lease: Lease | None = None
    records: int = 0


class Writer:
    """Does what turns do, in groups of conversations that share a commit, and keeps account of it."""

    def __init__(self, connection: sqlite3.Connection, chance: random.Random) -> None:
        self._connection = connection
        self._chance = chance
        self._turn = Lock()
        self._time = 1_000_000.0
        self.conversations = [Conversation(name=f"c{n}") for n in range(6)]
        self.commits = 0

    async def work(self, groups: int) -> None:
        """Write so many groups. Raises sqlite3.Error when the power goes."""
        for _ in range(groups):
            chosen = self._chance.sample(self.conversations, self._chance.choice([1, 1, 2, 6]))
            jobs = [(conversation, Job(self._next(conversation))) for conversation in chosen]
            commit(self._turn, self._connection, [job for _, job in jobs])
            self.commits += 1
            for conversation, job in jobs:
                job.wake()
                result = await job.outcome()
                conversation.acknowledged = len(conversation.states) - 1
                if isinstance(result, Lease):
                    conversation.lease = result

    def _next(self, conversation: Conversation) -> Action:
        """Return the next step of a conversation, whose state it brings about is noted."""
        self._time += 0.001
        lease, states, at = conversation.lease, conversation.states, self._time
        state = states[-1]
        if state is None or lease is None:
            begin = self._record(conversation)
            states.append((*(state or ()), begin.record_id))
            asked = journal.Claim((USER, conversation.name), "w", 60, begin)
            return lambda connection: journal.claim(connection, asked, now=at, at=at)
        step = self._chance.random()
        if step < 1 / 10 and state:
            to = self._chance.randrange(len(state))
            states.append(state[:to])
            return lambda connection: history.rewind(connection, USER, lease, to, at)
        if step < 1 / 6:
            conversation.lease = None
            states.append(state)
            return lambda connection: _finish(connection, lease, len(state), at)
        if step < 1 / 5:
            conversation.lease = None
            states.append(None)
            return lambda connection: history.delete(connection, (USER, conversation.name), at + 1000, at)
        records = [self._record(conversation) for _ in range(self._chance.choice([1, 1, 3]))]
        states.append((*state, *(record.record_id for record in records)))
        write = Append(lease=lease, expected_seq=len(state), records=records, state="open", open_turn=1)
        return lambda connection: journal.append(connection, USER, write, at)

    def _record(self, conversation: Conversation) -> NewRecord:
        conversation.records += 1
        body = bytes([self._chance.randrange(256)]) * self._chance.choice([10, 300, 9000])
        return NewRecord(record_id=f"r{conversation.records}", kind="k", body=body, tokens=1)


def _finish(connection: sqlite3.Connection, lease: Lease, records: int, at: float) -> None:
    write = Append(lease=lease, expected_seq=records, records=(), state="idle", open_turn=None, release=True)
    journal.append(connection, USER, write, at)

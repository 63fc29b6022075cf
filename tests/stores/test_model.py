"""Random histories of three workers on every store, against a model that a reader can check by eye."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationNotFound,
    LeaseLost,
    StoreError,
)
from assistant_kit.protocols.store import Append, Lease, NewRecord, Store, TurnState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore

USERS = ["alice", "bob"]
NAMES = ["c1", "c2"]
OWNERS = ["w1", "w2", "w3"]
RECORD_IDS = [f"r{n}" for n in range(8)]

Key = tuple[str, str]


@dataclass
class Model:
    """A conversation: who holds it until when, and its records as (id, tokens, fence)."""

    holder: Lease | None = None
    until: float = 0.0
    records: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    state: TurnState = "idle"
    open_turn: int | None = None

    def busy_for(self, now: float) -> float:
        return self.until - now if self.holder else 0.0

    def has(self, write: Append) -> bool:
        at = self.records[write.expected_seq : write.expected_seq + len(write.records)]
        return bool(at) and [record_id for record_id, _, _ in at] == [new.record_id for new in write.records]

    def expected_error(self, write: Append) -> type[StoreError] | None:
        if self.holder is None or self.holder.fence != write.lease.fence:
            last = write.expected_seq + len(write.records) - 1
            again = write.release and self.has(write) and self.records[last][2] == write.lease.fence
            return None if again else LeaseLost
        if self.has(write):
            return None
        taken = {record_id for record_id, _, _ in self.records}
        fits = write.expected_seq == len(self.records) and not any(new.record_id in taken for new in write.records)
        return None if fits else ConversationConflict


class StoreMachine(RuleBasedStateMachine):
    opener: ClassVar[Callable[[Callable[[], float], Path], Store]]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.models: dict[Key, Model] = {}
        self.changed: list[Key] = []  # the last changed last
        self.fences: dict[Key, int] = {}
        self.leases: list[tuple[str, Lease]] = []
        self.stack = ExitStack()

    @initialize()
    def open(self) -> None:
        portal = self.stack.enter_context(start_blocking_portal())
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        store = type(self).opener(lambda: self.now, folder)
        self.stack.callback(portal.call, store.aclose)
        self.portal = portal
        self.users = {user: store.for_user(user) for user in USERS}

    def teardown(self) -> None:
        self.stack.close()

    def call(self, function: Callable[..., Awaitable[Any]], *args: object, **kwargs: object) -> Any:
        return self.portal.call(partial(function, *args, **kwargs))

    def touch(self, key: Key) -> None:
        self.changed = [other for other in self.changed if other != key] + [key]

    @rule(
        user=st.sampled_from(USERS),
        name=st.sampled_from(NAMES),
        owner=st.sampled_from(OWNERS),
        ttl=st.sampled_from([10.0, 30.0]),
    )
    def claim(self, user: str, name: str, owner: str, ttl: float) -> None:
        key = (user, name)
        model = self.models.get(key, Model())
        if model.holder and model.holder.owner != owner and model.busy_for(self.now) > 0:
            with pytest.raises(ConversationBusy) as caught:
                self.call(self.users[user].claim, name, owner=owner, ttl=ttl)
            assert caught.value.retry_after == model.busy_for(self.now)
            return
        lease = self.call(self.users[user].claim, name, owner=owner, ttl=ttl)
        assert lease.fence > self.fences.get(key, 0)
        assert (lease.seq, lease.state, lease.open_turn) == (len(model.records), model.state, model.open_turn)
        if key not in self.models:
            self.models[key] = model
            self.touch(key)
        self.fences[key] = lease.fence
        model.holder, model.until = lease, self.now + ttl
        self.leases.append((user, lease))

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        offset=st.sampled_from([0, 0, 0, 0, -1, -2, 1]),
        record_ids=st.lists(st.sampled_from(RECORD_IDS), max_size=3, unique=True),
        tokens=st.integers(0, 20),
        state=st.sampled_from(["idle", "open", "waiting"]),
        release=st.booleans(),
    )
    def append(
        self, data: st.DataObject, offset: int, record_ids: list[str], tokens: int, state: TurnState, *, release: bool
    ) -> None:
        user, lease = data.draw(st.sampled_from(self.leases[-6:]))
        key = (user, lease.conversation)
        model = self.models.get(key, Model())
        write = Append(
            lease=lease,
            expected_seq=max(0, len(model.records) + offset),
            records=[NewRecord(record_id=name, kind="k", body=name.encode(), tokens=tokens) for name in record_ids],
            state=state,
            open_turn=len(model.records),
            release=release,
        )
        self.write(key, model, write)
        if data.draw(st.booleans()):  # its acknowledgement was lost
            self.write(key, model, write)

    def write(self, key: Key, model: Model, write: Append) -> None:
        error = model.expected_error(write)
        if error:
            with pytest.raises(error):
                self.call(self.users[key[0]].append, write)
            return
        self.call(self.users[key[0]].append, write)
        if model.has(write):
            return
        model.records += [(new.record_id, new.tokens, write.lease.fence) for new in write.records]
        model.state, model.open_turn = write.state, write.open_turn
        if write.release:
            model.holder = None
        self.touch(key)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), release=st.booleans())
    def renew_or_release(self, data: st.DataObject, *, release: bool) -> None:
        user, lease = data.draw(st.sampled_from(self.leases[-6:]))
        model = self.models.get((user, lease.conversation), Model())
        held = model.holder is not None and model.holder.fence == lease.fence
        if release:
            self.call(self.users[user].release, lease)
            model.holder = None if held else model.holder
        elif held:
            self.call(self.users[user].renew, lease, ttl=20.0)
            model.until = self.now + 20.0
        else:
            with pytest.raises(LeaseLost):
                self.call(self.users[user].renew, lease, ttl=20.0)

    @rule(seconds=st.sampled_from([1.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(user=st.sampled_from(USERS), name=st.sampled_from(NAMES))
    def delete(self, user: str, name: str) -> None:
        key = (user, name)
        model = self.models.get(key)
        if model is None or model.busy_for(self.now) > 0:
            with pytest.raises(ConversationBusy if model else ConversationNotFound):
                self.call(self.users[user].delete, name)
            return
        self.call(self.users[user].delete, name)
        del self.models[key]
        self.changed.remove(key)

    @rule(
        user=st.sampled_from(USERS),
        name=st.sampled_from(NAMES),
        after=st.integers(-1, 9),
        before=st.none() | st.integers(-1, 9),
        max_tokens=st.none() | st.integers(-1, 60),
        limit=st.none() | st.integers(-1, 5),
    )
    def read(
        self, user: str, name: str, after: int, before: int | None, max_tokens: int | None, limit: int | None
    ) -> None:
        read = partial(self.users[user].read, name, after=after, before=before, max_tokens=max_tokens, limit=limit)
        model = self.models.get((user, name))
        if model is None:
            with pytest.raises(ConversationNotFound):
                self.call(read)
            return
        expected: list[tuple[int, str, int, int, int]] = []
        total = 0
        for seq, (record_id, tokens, fence) in enumerate(model.records, start=1):
            total += tokens
            if after < seq and (before is None or seq < before):
                expected.append((seq, record_id, tokens, total, fence))
        while expected and max_tokens is not None and sum(row[2] for row in expected) > max_tokens:
            expected.pop(0)
        if max_tokens is not None and max_tokens < 0:
            expected.clear()
        if limit is not None:
            expected = expected[max(0, len(expected) - max(0, limit)) :]
        found = self.call(read)
        assert [
            (record.seq, record.record_id, record.tokens, record.total_tokens, record.fence) for record in found
        ] == expected

    @rule(user=st.sampled_from(USERS), name=st.sampled_from(NAMES), record_id=st.sampled_from(RECORD_IDS))
    def locate(self, user: str, name: str, record_id: str) -> None:
        ids = [stored for stored, _, _ in self.models.get((user, name), Model()).records]
        expected = ids.index(record_id) + 1 if record_id in ids else None

        assert self.call(self.users[user].locate, name, record_id) == expected

    @rule(user=st.sampled_from(USERS))
    def list_conversations(self, user: str) -> None:
        expected = [
            (name, len(self.models[owner, name].records), self.models[owner, name].state)
            for owner, name in reversed(self.changed)
            if owner == user
        ]

        found = self.call(self.users[user].conversations)

        assert [(info.conversation, info.records, info.state) for info in found] == expected


def open_memory(clock: Callable[[], float], _folder: Path) -> Store:
    return MemoryStore(clock=clock)


def open_sqlite(clock: Callable[[], float], folder: Path) -> Store:
    return SQLiteStore(folder / "chat.db", synchronous="NORMAL", clock=clock)


class MemoryHistories(StoreMachine):
    opener = staticmethod(open_memory)


class SQLiteHistories(StoreMachine):
    opener = staticmethod(open_sqlite)


@pytest.mark.parametrize("histories", [MemoryHistories, SQLiteHistories])
def test_every_history_is_as_the_model_says(histories: type[StoreMachine]) -> None:
    run_state_machine_as_test(histories, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))

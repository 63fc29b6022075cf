"""Random histories of three workers on every store, each explained by a model that a reader can check by eye."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeAlias
from unittest.mock import patch

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from assistant_kit.errors import AssistantKitError
from assistant_kit.protocols.store import Append, Lease, NewRecord, Store, TurnState, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.stores.store_model import Journal, StoreModel

USERS = ["alice", "bob"]
NAMES = ["c1", "c2", "c3"]
OWNERS = ["w1", "w2", "w3"]
CLOCKS = cycle([0.0, -600.0, 600.0])
"""By how many seconds the clocks of workers are wrong."""
RECORD_IDS = [f"r{n}" for n in range(8)]
Window: TypeAlias = tuple[int, int | None, int | None, int | None]
"""After, before, max_tokens and limit of a read."""
STATES: list[TurnState] = ["idle", "open", "waiting", "parked"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that a worker asks of the store; `expect` says what the model makes of it, given what was found."""

    ask: Callable[[], Awaitable[object]]
    expect: Callable[[StoreModel, object], object]


class StoreMachine(RuleBasedStateMachine):
    """To try another store, derive from it and set `opener`, which gets the clock and an empty folder."""

    opener: ClassVar[Callable[[Callable[[], float], Path], Store]]

    def __init__(self) -> None:
        super().__init__()
        self.model = StoreModel()
        self.leases: list[tuple[str, Lease]] = []
        self.asked: list[Step] = []
        self.stack = ExitStack()

    @initialize()
    def open(self) -> None:
        self.portal = self.stack.enter_context(start_blocking_portal())
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.store = type(self).opener(lambda: self.model.now, folder)
        self.stack.callback(self.portal.call, self.store.aclose)
        self.users = {user: self.store.for_user(user) for user in USERS}

    def teardown(self) -> None:
        self.stack.close()

    @rule(seconds=st.sampled_from([1.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule(data=st.data())
    def do(self, data: st.DataObject) -> None:
        for _ in range(4):
            self.run([self.draw(data)])

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again_because_the_answer_was_lost(self, data: st.DataObject) -> None:
        self.run([data.draw(st.sampled_from(self.asked[-5:]))])

    @rule(data=st.data())
    def do_at_once(self, data: st.DataObject) -> None:
        """There is an order in which the steps explain what was found, now and by a look afterwards."""
        self.run([self.draw(data) for _ in range(3)])

    @rule(
        user=st.sampled_from(USERS),
        name=st.sampled_from(NAMES),
        window=st.tuples(
            st.integers(-1, 9),
            st.none() | st.integers(-1, 9),
            st.none() | st.integers(-1, 60),
            st.none() | st.integers(-1, 5),
        ),
        state=st.sampled_from(STATES),
    )
    def look(self, user: str, name: str, window: Window, state: TurnState) -> None:
        after, before, max_tokens, limit = window

        async def read() -> object:
            found = await self.users[user].read(name, after=after, before=before, max_tokens=max_tokens, limit=limit)
            assert all(record.body == record.record_id.encode() for record in found)
            return [(each.seq, each.record_id, each.tokens, each.total_tokens, each.fence) for each in found]

        async def info() -> object:
            found = await self.users[user].info(name)
            assert found == {each.conversation: each for each in await self.users[user].conversations()}[name]
            return found.conversation, found.records, found.state, found.title

        async def unfinished() -> object:
            return [(turn.user, turn.conversation) for turn in await self.store.unfinished(state=state)]

        async def users() -> object:
            return [found for found in await self.store.users() if not found.startswith("erased-")]

        self.check(read, lambda model: model.read(user, name, *window))
        for record_id in RECORD_IDS:
            locate = partial(self.users[user].locate, name, record_id)
            self.check(locate, partial(StoreModel.locate, user=user, name=name, record_id=record_id))
        self.check(info, lambda model: model.info(user, name))
        self.check(unfinished, lambda model: model.unfinished(state))
        self.check(users, lambda model: model.users())

    def check(self, ask: Callable[[], Awaitable[object]], expect: Callable[[StoreModel], object]) -> None:
        assert self.portal.call(outcome, ask) == outcome_of(lambda: expect(self.model))

    def run(self, steps: Sequence[Step]) -> None:
        """Ask the store for all steps at once, and find an order of them that explains what it answers."""
        # What a worker takes for the time is nothing to the store.
        with patch("time.time", lambda: self.model.now + next(CLOCKS)):
            found = self.portal.call(at_once, [step.ask for step in steps])
            seen = [self.portal.call(listed, handle) for handle in self.users.values()]
        refuted: list[object] = []
        for order in permutations(range(len(steps))):
            model = deepcopy(self.model)
            expected = {n: outcome_of(partial(steps[n].expect, model, found[n])) for n in order}
            shown = [model.listed(user) for user in self.users]
            if shown == seen and all(expected[n] == comparable(found[n]) for n in order):
                self.model = model
                self.asked += steps
                return
            refuted.append((order, expected, shown))
        pytest.fail(f"found {found} and then {seen}, which nothing explains: {refuted}")

    def draw(self, data: st.DataObject) -> Step:
        """Choose something to do."""
        kinds = [self.claim, self.claim, self.fork, self.rename, self.delete, self.erase]
        with_lease = [self.append, self.append, self.append, self.append, self.rewind, self.renew, self.release]
        return data.draw(st.sampled_from(kinds + (with_lease if self.leases else [])))(data)

    def conversation(self, data: st.DataObject) -> tuple[str, str, Journal]:
        """Choose a conversation, more often one that is there."""
        there = st.sampled_from(list(self.model.journals) or [(USERS[0], NAMES[0])])
        key = data.draw(there | there | st.tuples(st.sampled_from(USERS), st.sampled_from(NAMES)))
        return *key, self.model.journals.get(key, Journal())

    def lease(self, data: st.DataObject) -> tuple[str, Lease, Journal]:
        user, lease = data.draw(st.sampled_from(self.leases[-6:]))
        return user, lease, self.model.journals.get((user, lease.conversation), Journal())

    def claim(self, data: st.DataObject) -> Step:
        user, name = data.draw(st.sampled_from(USERS)), data.draw(st.sampled_from(NAMES))
        owner, ttl = data.draw(st.sampled_from(OWNERS)), data.draw(st.sampled_from([10.0, 30.0]))
        begin = data.draw(st.sampled_from(["", "", *RECORD_IDS]))

        async def ask() -> object:
            record = new(begin, tokens=1) if begin else None
            lease = await self.users[user].claim(name, owner=owner, ttl=ttl, begin=record)
            self.leases.append((user, replace(lease, at=time.time(), seq=0)))  # what counts is its fence
            return Claimed(lease)

        def expect(model: StoreModel, found: object) -> object:
            fence = found.lease.fence if isinstance(found, Claimed) else 0
            return model.claim(user, name, owner, ttl, begin, fence)

        return Step(ask=ask, expect=expect)

    def append(self, data: st.DataObject) -> Step:
        user, lease, journal = self.lease(data)
        state = data.draw(st.sampled_from(STATES))
        at = max(0, len(journal.records) + data.draw(st.sampled_from([0, 0, 0, 0, -1, -2, 1])))
        write = Append(
            lease=lease,
            expected_seq=at,
            records=[
                new(record_id, tokens=data.draw(st.integers(0, 20)))
                for record_id in data.draw(st.lists(st.sampled_from(RECORD_IDS), max_size=3, unique=True))
            ],
            state=state,
            open_turn=None if state == "idle" else at + 1,
            release=data.draw(st.booleans()),
        )
        return Step(ask=partial(self.users[user].append, write), expect=lambda model, _: model.append(user, write))

    def rewind(self, data: st.DataObject) -> Step:
        user, lease, journal = self.lease(data)
        to = data.draw(st.integers(-1, len(journal.records) + 1))
        return Step(
            ask=partial(self.users[user].rewind, lease, to=to), expect=lambda model, _: model.rewind(user, lease, to)
        )

    def renew(self, data: st.DataObject) -> Step:
        user, lease, _ = self.lease(data)
        return Step(
            ask=partial(self.users[user].renew, lease, ttl=20.0), expect=lambda model, _: model.renew(user, lease, 20.0)
        )

    def release(self, data: st.DataObject) -> Step:
        user, lease, _ = self.lease(data)
        return Step(ask=partial(self.users[user].release, lease), expect=lambda model, _: model.release(user, lease))

    def fork(self, data: st.DataObject) -> Step:
        user, name, journal = self.conversation(data)
        other = data.draw(st.sampled_from(NAMES))
        at = data.draw(st.integers(-1, len(journal.records) + 1))
        return Step(
            ask=partial(self.users[user].fork, name, other, at=at),
            expect=lambda model, _: model.fork(user, name, other, at),
        )

    def rename(self, data: st.DataObject) -> Step:
        user, name, _ = self.conversation(data)
        title = data.draw(st.sampled_from(["", "one", "two"]))
        return Step(
            ask=partial(self.users[user].rename, name, title), expect=lambda model, _: model.rename(user, name, title)
        )

    def delete(self, data: st.DataObject) -> Step:
        user, name, _ = self.conversation(data)
        return Step(ask=partial(self.users[user].delete, name), expect=lambda model, _: model.delete(user, name))

    def erase(self, data: st.DataObject) -> Step:
        user = data.draw(st.sampled_from(USERS))
        return Step(ask=self.users[user].erase, expect=lambda model, _: model.erase(user))


@dataclass(frozen=True)
class Claimed:
    """A lease that was answered. The store chooses its fence."""

    lease: Lease


def new(record_id: str, *, tokens: int) -> NewRecord:
    return NewRecord(record_id=record_id, kind="k", body=record_id.encode(), tokens=tokens)


async def outcome(ask: Callable[[], Awaitable[object]]) -> object:
    """Return what was answered, or the error and its data."""
    with anyio.fail_after(30):
        try:
            return await ask()
        except AssistantKitError as error:
            return type(error), vars(error)


def outcome_of(expect: Callable[[], object]) -> object:
    try:
        return expect()
    except AssistantKitError as error:
        return type(error), vars(error)
    except AssertionError as error:  # this order does not explain it; another one may
        return error


def comparable(found: object) -> object:
    if isinstance(found, Claimed):
        return found.lease.seq, found.lease.state, found.lease.open_turn, found.lease.begun
    return found


async def at_once(asks: Sequence[Callable[[], Awaitable[object]]]) -> list[object]:
    found: list[object] = [None] * len(asks)

    async def one(n: int) -> None:
        found[n] = await outcome(asks[n])

    async with anyio.create_task_group() as tasks:
        for n in range(len(asks)):
            tasks.start_soon(one, n)
    return found


async def listed(user: UserStore) -> object:
    """What a list of conversations shows, what is in them, and the audit chain."""
    shown: list[object] = []
    for info in await user.conversations():
        records = [(each.record_id, each.tokens, each.fence) for each in await user.read(info.conversation)]
        assert len(records) == info.records
        shown.append((info.conversation, info.state, info.title, records))
    chain: list[dict[str, Any]] = [json.loads(link.payload or b"") for link in await user.audit_log()]
    return shown, [payload["do"] for payload in chain]


def open_memory(clock: Callable[[], float], _folder: Path) -> Store:
    return MemoryStore(clock=clock, audit=True)


def open_sqlite(clock: Callable[[], float], folder: Path) -> Store:
    return SQLiteStore(folder / "chat.db", synchronous="NORMAL", clock=clock, audit=True)


class MemoryHistories(StoreMachine):
    opener = staticmethod(open_memory)


class SQLiteHistories(StoreMachine):
    opener = staticmethod(open_sqlite)


@pytest.mark.parametrize("histories", [MemoryHistories, SQLiteHistories])
def test_every_history_is_as_the_model_says(histories: type[StoreMachine]) -> None:
    run_state_machine_as_test(histories, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))

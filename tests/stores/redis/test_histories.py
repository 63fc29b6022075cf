"""Random histories: whatever is done, the store in Redis answers as the store in memory does."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from assistant_kit.errors import AssistantKitError
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, Store, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.redis import RedisStore

USERS = ["a", "b:c", "{b}"]
NAMES = ["c1", "c:2", "c3%3A", "c4"]
RECORD_IDS = [f"r{n}" for n in range(12)]
STATES = ["idle", "open", "waiting", "parked"]

Outcome = tuple[str, Any]

users = st.sampled_from(USERS)
names = st.sampled_from(NAMES)
places = st.integers(-1, 12)


class Histories(RuleBasedStateMachine):
    url: ClassVar[str]

    @initialize()
    def open(self) -> None:
        self.stack = ExitStack()
        portal = self.stack.enter_context(start_blocking_portal())
        redis_store = RedisStore(self.url, prefix=uuid4().hex)
        self.stack.callback(portal.call, redis_store.aclose)
        self.portal = portal
        self.stores: tuple[Store, Store] = (MemoryStore(), redis_store)
        self.leases: list[tuple[str, tuple[Lease, Lease]]] = []

    def teardown(self) -> None:
        self.stack.close()

    def outcome(self, function: Callable[..., Awaitable[Any]], *args: object, **kwargs: object) -> Outcome:
        try:
            return "returned", self.portal.call(partial(function, *args, **kwargs))
        except AssistantKitError as error:
            data = {name: value for name, value in vars(error).items() if name != "retry_after"}
            return type(error).__name__, data

    def both(self, user: str, ask: Callable[[int, UserStore], Outcome]) -> tuple[Outcome, Outcome]:
        first, second = (ask(n, store.for_user(user)) for n, store in enumerate(self.stores))
        return first, second

    def same(self, user: str, method: str, *args: object, **kwargs: object) -> None:
        first, second = self.both(user, lambda _, mine: self.outcome(getattr(mine, method), *args, **kwargs))
        assert first == second

    @rule(user=users, name=names, owner=st.sampled_from(["w1", "w2"]), begin=st.none() | st.sampled_from(RECORD_IDS))
    def claim(self, user: str, name: str, owner: str, begin: str | None) -> None:
        new = None if begin is None else NewRecord(record_id=begin, kind="k", body=begin.encode(), tokens=3)
        one, two = self.both(user, lambda _, mine: self.outcome(mine.claim, name, owner=owner, ttl=3600, begin=new))
        assert one[0] == two[0]
        if one[0] == "returned":
            pair: tuple[Lease, Lease] = (one[1], two[1])
            assert len({(lease.seq, lease.state, lease.open_turn, lease.begun) for lease in pair}) == 1
            self.leases.append((user, pair))
        else:
            assert one == two

    def under_lease(self, data: st.DataObject, ask: Callable[[UserStore, Lease], Outcome]) -> None:
        user, leases = data.draw(st.sampled_from(self.leases[-6:]))
        one, two = self.both(user, lambda n, mine: ask(mine, leases[n]))
        assert one == two

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(),
        offset=st.sampled_from([0, 0, 0, 0, 0, -1, -2, 1]),
        record_ids=st.lists(st.sampled_from(RECORD_IDS), max_size=3, unique=True),
        state=st.sampled_from(STATES),
        release=st.booleans(),
        twice=st.booleans(),
    )
    def append(
        self, data: st.DataObject, offset: int, record_ids: list[str], state: Any, *, release: bool, twice: bool
    ) -> None:
        user, leases = data.draw(st.sampled_from(self.leases[-6:]))
        at, _ = self.both(user, lambda _, mine: self.outcome(mine.read, leases[0].conversation, limit=1))
        seq = at[1][-1].seq if at[0] == "returned" and at[1] else 0
        records = [NewRecord(record_id=each, kind="k", body=each.encode() * 3, tokens=len(each)) for each in record_ids]

        def ask(n: int, mine: UserStore) -> Outcome:
            write = Append(
                lease=leases[n],
                expected_seq=seq + offset,
                records=records,
                state=state,
                open_turn=None if state == "idle" else 1,
                release=release,
            )
            return self.outcome(mine.append, write)

        for _ in range(1 + twice):
            one, two = self.both(user, ask)
            assert one == two

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.under_lease(data, lambda mine, lease: self.outcome(mine.renew, lease, ttl=3600))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.under_lease(data, lambda mine, lease: self.outcome(mine.release, lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), to=places)
    def rewind(self, data: st.DataObject, to: int) -> None:
        self.under_lease(data, lambda mine, lease: self.outcome(mine.rewind, lease, to=to))

    @rule(user=users, name=names, new=names, at=places)
    def fork(self, user: str, name: str, new: str, at: int) -> None:
        self.same(user, "fork", name, new, at=at)

    @rule(user=users, name=names)
    def delete(self, user: str, name: str) -> None:
        self.same(user, "delete", name)

    @rule(user=users, name=names, title=st.sampled_from(["", "one", "two"]))
    def rename(self, user: str, name: str, title: str) -> None:
        self.same(user, "rename", name, title)

    @precondition(lambda self: len(self.leases) % 5 == 4)
    @rule(user=users)
    def erase(self, user: str) -> None:
        self.same(user, "erase")

    @rule(
        user=users,
        name=names,
        after=places,
        before=st.none() | places,
        max_tokens=st.none() | st.integers(-1, 40),
        limit=st.none() | st.integers(-1, 6),
    )
    def read(
        self, user: str, name: str, after: int, before: int | None, max_tokens: int | None, limit: int | None
    ) -> None:
        one, two = self.both(
            user,
            lambda _, mine: self.outcome(
                mine.read, name, after=after, before=before, max_tokens=max_tokens, limit=limit
            ),
        )
        assert one[0] == two[0]
        if one[0] == "returned":
            assert shown(one[1]) == shown(two[1])

    @rule(user=users, name=names, record_id=st.sampled_from(RECORD_IDS))
    def locate(self, user: str, name: str, record_id: str) -> None:
        self.same(user, "locate", name, record_id)

    @rule(user=users, name=names)
    def info(self, user: str, name: str) -> None:
        one, two = self.both(user, lambda _, mine: self.outcome(mine.info, name))
        if one[0] == "returned":
            assert len({(info.conversation, info.records, info.state, info.title) for _, info in (one, two)}) == 1
            one, two = one[:1], two[:1]
        assert one == two

    @rule(user=users)
    def list_conversations(self, user: str) -> None:
        one, two = self.both(user, lambda _, mine: self.outcome(mine.conversations))
        shown = [
            [(info.conversation, info.records, info.state, info.title) for info in infos] for _, infos in (one, two)
        ]
        assert shown[0] == shown[1]

    @rule(state=st.sampled_from(STATES))
    def list_unfinished(self, state: str) -> None:
        one, two = (
            [(found.user, found.conversation, found.state) for found in self.outcome(store.unfinished, state=state)[1]]
            for store in self.stores
        )
        # Times of different users come from different shards: their order is the clock's, and that may stand still.
        assert sorted(one) == sorted(two)

    @rule()
    def list_users(self) -> None:
        one, two = (self.outcome(store.users) for store in self.stores)
        assert list(one[1]) == list(two[1])


def shown(records: Sequence[Record]) -> list[Record]:
    """What of records does not depend on the clock."""
    return [replace(record, at=0.0, fence=0) for record in records]


def test_every_history_is_as_in_memory(valkey_url: str) -> None:
    Histories.url = valkey_url
    run_state_machine_as_test(Histories, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))

"""One task keeps the leases of all running turns alive."""

from typing import Any

import anyio
import pytest

from assistant_kit.background import Background
from assistant_kit.errors import LeaseLost
from assistant_kit.protocols.store import Lease, UserStore
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio
TTL = 0.03


class Noting:
    """A user's store that notes renewals, and fails them as told."""

    def __init__(self, store: UserStore) -> None:
        self._store = store
        self.renewed: list[str] = []
        self.enough = anyio.Event()
        self.failure: Exception | None = None
        self.gate: anyio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        self.renewed.append(lease.conversation)
        if len(self.renewed) == 4:
            self.enough.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        await self._store.renew(lease, ttl=ttl)


async def taken(conversation: str = "c") -> tuple[Any, Lease]:
    store = MemoryStore().for_user("u")
    return Noting(store), await store.claim(conversation, owner="w", ttl=TTL)


async def test_leases_are_renewed_again_and_again_while_they_are_kept() -> None:
    store, lease = await taken()
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            with keeper.keeping(store, lease) as kept:
                await store.enough.wait()
    assert kept.lost is None


async def test_a_lost_lease_cancels_the_body_and_says_so() -> None:
    store, lease = await taken()
    store.failure = LeaseLost("c")
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            with keeper.keeping(store, lease) as kept:
                await anyio.sleep_forever()
    assert isinstance(kept.lost, LeaseLost)
    assert store.renewed == ["c"]


async def test_a_renewal_that_fails_for_another_reason_is_tried_again_later(caplog: pytest.LogCaptureFixture) -> None:
    store, lease = await taken()
    store.failure = RuntimeError("no connection")
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            with keeper.keeping(store, lease) as kept:
                await store.enough.wait()
    assert kept.lost is None
    assert "no connection" in caplog.text


async def test_a_lease_whose_run_has_ended_is_not_renewed() -> None:
    store, lease = await taken()
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            await anyio.wait_all_tasks_blocked()
            with keeper.keeping(store, lease):
                pass
            await anyio.wait_all_tasks_blocked()
            with keeper.keeping(store, lease):
                await store.enough.wait()


async def test_a_run_that_ends_during_its_renewal_is_forgotten() -> None:
    store, lease = await taken()
    store.gate = anyio.Event()
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            with keeper.keeping(store, lease):
                while not store.renewed:  # noqa: ASYNC110  (the store is the one who knows)
                    await anyio.sleep(0.001)
            store.gate.set()
            await anyio.wait_all_tasks_blocked()
    assert store.renewed == ["c"]


async def test_a_run_that_ends_during_the_renewal_of_another_does_not_end_the_keeping() -> None:
    store, lease = await taken()
    other, other_lease = await taken()
    store.gate = anyio.Event()
    leave = anyio.Event()
    left = anyio.Event()
    keeper = LeaseKeeper(TTL)

    async def run_beside() -> None:
        with keeper.keeping(other, other_lease):
            await leave.wait()
        left.set()

    with anyio.fail_after(10), keeper.keeping(store, lease) as kept:
        async with Background(run_beside):
            await anyio.sleep(TTL)  # both are due before the keeper begins
            async with Background(keeper.run):
                await anyio.wait_all_tasks_blocked()  # the first renewal is held up
                leave.set()
                await left.wait()
                renewed = len(other.renewed)
                store.gate.set()
                await store.enough.wait()
    assert kept.lost is None
    assert len(other.renewed) == renewed


async def test_a_store_that_hangs_does_not_cost_others_their_leases(caplog: pytest.LogCaptureFixture) -> None:
    hanging, hanging_lease = await taken()
    other, other_lease = await taken()
    hanging.gate = anyio.Event()
    keeper = LeaseKeeper(TTL)
    with anyio.fail_after(10):
        async with Background(keeper.run):
            with keeper.keeping(hanging, hanging_lease) as kept, keeper.keeping(other, other_lease):
                await other.enough.wait()
                assert kept.lost is None
                assert len(hanging.renewed) > 1
    assert "does not answer" in caplog.text

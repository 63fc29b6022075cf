"""Tests of a store that many tasks use at once, and of tasks that go away."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from collections import Counter

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.errors import ConversationConflict
from assistant_kit.protocols.store import Lease, Store, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    PATIENCE,
    StoreWorkbench,
    claimed,
    filled,
    ids,
    new,
    writing,
)


class StoreConcurrency(StoreWorkbench):
    """Writes of many tasks neither mix nor get lost."""

    async def test_many_conversations_are_written_at_once(self, alice: UserStore, bob: UserStore) -> None:
        async def converse(user: UserStore, name: str) -> None:
            lease = await claimed(user, name, owner=name)
            for n in range(10):
                await user.append(writing(lease, n, new(f"{name}.{n}")))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(10):
                    tasks.start_soon(converse, alice, f"c{n}")
                    tasks.start_soon(converse, bob, f"c{n}")

        for user in (alice, bob):
            for n in range(10):
                assert ids(await user.read(f"c{n}")) == [f"c{n}.{k}" for k in range(10)]

    async def test_of_two_writes_at_one_place_one_takes_place(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        outcomes: Counter[str] = Counter()

        async def write(record_id: str) -> None:
            try:
                await alice.append(writing(lease, 0, new(record_id)))
            except ConversationConflict:
                outcomes["refused"] += 1
            else:
                outcomes[record_id] += 1

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(10):
                    tasks.start_soon(write, f"r{n}")

        stored = ids(await alice.read("c"))
        assert len(stored) == 1
        assert outcomes == {"refused": 9, stored[0]: 1}

    async def test_one_write_repeated_at_once_takes_place_once(self, alice: UserStore) -> None:
        lease = await claimed(alice)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(alice.append, writing(lease, 0, new("a", tokens=2), new("b", tokens=3)))

        assert [(record.record_id, record.total_tokens) for record in await alice.read("c")] == [("a", 2), ("b", 5)]

    async def test_a_refused_write_disturbs_none_beside_it(self, alice: UserStore) -> None:
        leases = [await filled(alice, 1, conversation=f"c{n}") for n in range(10)]
        refused: list[str] = []

        async def write(n: int, lease: Lease) -> None:
            try:
                # Every second one has a good record before the one that is refused.
                await alice.append(writing(lease, 1, new("good"), new("r1" if n % 2 else "r2")))
            except ConversationConflict as error:
                refused.append(error.conversation)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n, lease in enumerate(leases):
                    tasks.start_soon(write, n, lease)

        assert sorted(refused) == [f"c{n}" for n in range(10) if n % 2]
        for n in range(10):
            assert ids(await alice.read(f"c{n}")) == (["r1"] if n % 2 else ["r1", "good", "r2"])

    async def test_a_cancelled_write_is_whole_or_absent_and_may_be_repeated(self, alice: UserStore) -> None:
        lease = await claimed(alice)

        for n in range(0, 20, 2):
            write = writing(lease, n, new(f"r{n}"), new(f"r{n + 1}"))
            with anyio.CancelScope() as scope:
                scope.cancel()
                await alice.append(write)
            assert len(await alice.read("c")) in (n, n + 2)
            with anyio.fail_after(PATIENCE):
                await alice.append(write)

        assert ids(await alice.read("c")) == [f"r{n}" for n in range(20)]

    async def test_others_go_on_when_a_task_beside_them_is_cancelled(self, alice: UserStore) -> None:
        lost = await claimed(alice, "lost")
        kept = await claimed(alice, "kept")

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alice.append, writing(kept, 0, new("a")))
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await alice.append(writing(lost, 0, new("a")))

        assert ids(await alice.read("kept")) == ["a"]

    async def test_readers_and_writers_do_not_wait_for_each_other(self, alice: UserStore) -> None:
        lease = await filled(alice, 1)
        counts: list[int] = []

        async def watch() -> None:
            while not counts or counts[-1] < 21:
                await anyio.lowlevel.checkpoint()
                counts.append(len(await alice.read("c")))

        async def write() -> None:
            for n in range(1, 21):
                await anyio.lowlevel.checkpoint()
                await alice.append(writing(lease, n, new(f"x{n}")))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                tasks.start_soon(write)

        assert counts == sorted(counts)

    async def test_what_was_acknowledged_is_read_at_once(self, alice: UserStore) -> None:
        lease = await claimed(alice)

        for n in range(20):
            await alice.append(writing(lease, n, new(f"r{n}")))
            assert len(await alice.read("c")) == n + 1

    async def test_a_store_may_be_opened_before_its_first_use_and_again(self, store: Store, alice: UserStore) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(store.open)
                tasks.start_soon(filled, alice, 1)
            await store.open()

        assert ids(await alice.read("c")) == ["r1"]

    async def test_closing_twice_is_closing(self, store: Store, alice: UserStore) -> None:
        await claimed(alice)

        with anyio.fail_after(PATIENCE):
            await store.aclose()
            await store.aclose()

    async def test_a_store_that_was_never_used_can_be_closed(self, store: Store) -> None:
        with anyio.fail_after(PATIENCE):
            await store.aclose()

    @pytest.mark.parametrize("records", [1, 400])
    async def test_a_write_may_have_many_records(self, alice: UserStore, records: int) -> None:
        lease = await claimed(alice)

        await alice.append(writing(lease, 0, *(new(f"r{n}") for n in range(records))))

        assert len(await alice.read("c")) == records

"""The suite for stores with transactions: what stands in them takes place together with a write, or not at all."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.errors import ConversationConflict, InputError, LeaseLost
from assistant_kit.protocols.store import Append, Store, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    PATIENCE,
    StoreWorkbench,
    claimed,
    filled,
    ids,
    new,
    writing,
)

Work = Callable[[Any], Awaitable[Append]]


class TransactionConformance(StoreWorkbench):
    """The hooks are `put`, which makes something of a name in a transaction, and `put_names`, which finds it.

    With a database they insert into a table of the test and select from it; `put` makes the table when it is not
    there yet. Other tests may have put names of their own.
    """

    transactions: ClassVar[bool] = True

    @abstractmethod
    async def put(self, connection: Any, name: str) -> None:
        """Write `name` by the connection that a transaction gives to its work, and do not commit."""

    @abstractmethod
    async def put_names(self, store: Store) -> Sequence[str]:
        """Return the names that were put and committed, once for each time, as anybody can read them."""

    def putting(self, name: str, write: Append, *, then: Callable[[], object] = object) -> Work:
        """Return work that puts a name, calls `then`, lets others go on, and makes a write."""

        async def work(connection: Any) -> Append:
            await self.put(connection, name)
            then()
            await anyio.lowlevel.checkpoint()
            return write

        return work

    async def puts(self, store: Store, prefix: str) -> list[str]:
        """Return the names with this prefix that were put, without it, in order."""
        return sorted(name.removeprefix(prefix) for name in await self.put_names(store) if name.startswith(prefix))

    async def test_work_and_its_write_take_place_together(self, store: Store, prefix: str, alice: UserStore) -> None:
        lease = await filled(alice, 1)

        await alice.transact(lease, self.putting(f"{prefix}a", writing(lease, 1, new("r2", tokens=2), new("r3"))))
        await alice.transact(lease, self.putting(f"{prefix}b", writing(lease, 3, new("r4"), state="waiting")))

        assert await self.puts(store, prefix) == ["a", "b"]
        assert ids(await alice.read("c")) == ["r1", "r2", "r3", "r4"]
        assert (await claimed(alice)).state == "waiting"

    async def test_nobody_sees_the_work_before_it_is_committed(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await filled(alice, 1)
        seen: list[Sequence[str]] = []

        async def work(connection: Any) -> Append:
            await self.put(connection, f"{prefix}a")
            seen.append(await self.puts(store, prefix))
            seen.append(ids(await alice.read("c")))
            return writing(lease, 1, new("r2"))

        # A table that is there already: a reader need not wait for one that is being made.
        await alice.transact(lease, self.putting(f"{prefix}0", writing(lease, 1)))
        with anyio.fail_after(PATIENCE):
            await alice.transact(lease, work)

        assert seen == [["0"], ["r1"]]
        assert await self.puts(store, prefix) == ["0", "a"]

    async def test_work_that_fails_is_undone_and_its_error_passes_through(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await filled(alice, 1)
        failure = ZeroDivisionError()

        async def work(connection: Any) -> Append:
            await self.put(connection, f"{prefix}undone")
            raise failure

        with pytest.raises(ZeroDivisionError) as caught:
            await alice.transact(lease, work)

        assert caught.value is failure
        await alice.transact(lease, self.putting(f"{prefix}done", writing(lease, 1, new("r2"))))
        assert await self.puts(store, prefix) == ["done"]
        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_a_stale_lease_undoes_the_work(
        self, store: Store, prefix: str, alice: UserStore, bob: UserStore
    ) -> None:
        old = await filled(alice, 1)
        lease = await claimed(alice)

        with pytest.raises(LeaseLost) as caught:
            await alice.transact(old, self.putting(f"{prefix}old", writing(old, 1, new("r2"))))
        with pytest.raises(LeaseLost):
            await bob.transact(lease, self.putting(f"{prefix}foreign", writing(lease, 1, new("r2"))))
        await alice.release(lease)
        with pytest.raises(LeaseLost):
            await alice.transact(lease, self.putting(f"{prefix}released", writing(lease, 1, new("r2"))))

        assert caught.value.conversation == "c"
        assert await self.puts(store, prefix) == []
        assert ids(await alice.read("c")) == ["r1"]

    async def test_a_lease_that_is_lost_while_the_work_goes_on_undoes_it(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        """A store may let others wait instead; then the lease is not lost."""
        lease = await filled(alice, 1)
        at_work = anyio.Event()
        lost: list[LeaseLost] = []

        async def work(connection: Any) -> Append:
            await self.put(connection, f"{prefix}a")
            at_work.set()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            return writing(lease, 1, new("r2"))

        async def transact() -> None:
            try:
                await alice.transact(lease, work)
            except LeaseLost as error:
                lost.append(error)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transact)
                await at_work.wait()
                await claimed(alice)

        assert await self.puts(store, prefix) == ([] if lost else ["a"])
        assert ids(await alice.read("c")) == (["r1"] if lost else ["r1", "r2"])

    async def test_a_write_at_the_wrong_place_undoes_the_work(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await filled(alice, 1, 1)

        for write in (writing(lease, 1, new("x")), writing(lease, 3, new("x")), writing(lease, 2, new("r1"))):
            with pytest.raises(ConversationConflict) as caught:
                await alice.transact(lease, self.putting(f"{prefix}x", write))
            assert (caught.value.expected, caught.value.found) == (write.expected_seq, 2)

        assert await self.puts(store, prefix) == []
        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_a_write_that_cannot_be_stored_undoes_the_work(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await filled(alice, 1)

        with pytest.raises(InputError):
            await alice.transact(lease, self.putting(f"{prefix}x", writing(lease, 1, new("bad", tokens=-1))))

        assert await self.puts(store, prefix) == []
        assert ids(await alice.read("c")) == ["r1"]

    async def test_a_repeated_transaction_does_its_work_once(self, store: Store, prefix: str, alice: UserStore) -> None:
        lease = await filled(alice, 1)
        work = self.putting(f"{prefix}a", writing(lease, 1, new("r2")))
        await alice.transact(lease, work)
        await alice.append(writing(lease, 2, new("r3"), state="idle", open_turn=None))

        await alice.transact(lease, work)

        assert await self.puts(store, prefix) == ["a"]
        assert ids(await alice.read("c")) == ["r1", "r2", "r3"]
        assert (await claimed(alice)).state == "idle"

    async def test_a_transaction_may_give_the_lease_up(self, store: Store, prefix: str, alice: UserStore) -> None:
        lease = await filled(alice, 1)
        write = writing(lease, 1, new("r2"), state="idle", open_turn=None, release=True)

        await alice.transact(lease, self.putting(f"{prefix}a", write))

        assert await self.puts(store, prefix) == ["a"]
        with pytest.raises(LeaseLost):
            await alice.renew(lease, ttl=60)
        taken = await claimed(alice, owner="w2")
        assert (taken.seq, taken.state) == (2, "idle")

    async def test_a_write_without_records_commits_the_work(self, store: Store, prefix: str, alice: UserStore) -> None:
        lease = await filled(alice, 1)

        await alice.transact(lease, self.putting(f"{prefix}a", writing(lease, 1, state="parked")))

        assert await self.puts(store, prefix) == ["a"]
        assert (await claimed(alice)).state == "parked"

    async def test_work_that_is_cancelled_is_undone_and_the_next_goes_on(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await filled(alice, 1)

        with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
            write = writing(lease, 1, new("undone"))
            await alice.transact(lease, self.putting(f"{prefix}undone", write, then=scope.cancel))

        with anyio.fail_after(PATIENCE):
            await alice.transact(lease, self.putting(f"{prefix}done", writing(lease, 1, new("r2"))))
        assert scope.cancelled_caught
        assert await self.puts(store, prefix) == ["done"]
        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_many_transactions_and_writes_go_on_at_once(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        leases = [await claimed(alice, f"c{n}") for n in range(20)]

        async def transact(n: int) -> None:
            for at in range(3):
                await alice.transact(
                    leases[n], self.putting(f"{prefix}{n:02}.{at}", writing(leases[n], at, new(f"r{at}")))
                )

        async def append(n: int) -> None:
            for at in range(3):
                await alice.append(writing(leases[n], at, new(f"r{at}")))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(20):
                    tasks.start_soon(transact if n < 10 else append, n)

        assert await self.puts(store, prefix) == [f"{n:02}.{at}" for n in range(10) for at in range(3)]
        for n in range(20):
            assert ids(await alice.read(f"c{n}")) == ["r0", "r1", "r2"]

    async def test_of_two_transactions_at_one_place_one_takes_place(
        self, store: Store, prefix: str, alice: UserStore
    ) -> None:
        lease = await claimed(alice)
        refused: list[ConversationConflict] = []

        async def transact(n: int) -> None:
            try:
                await alice.transact(lease, self.putting(f"{prefix}r{n}", writing(lease, 0, new(f"r{n}"))))
            except ConversationConflict as error:
                refused.append(error)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(5):
                    tasks.start_soon(transact, n)

        assert len(refused) == 4
        assert await self.puts(store, prefix) == ids(await alice.read("c"))

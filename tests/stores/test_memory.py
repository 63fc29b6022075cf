import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.errors import ConversationExists, InputError, StoreBusy
from assistant_kit.protocols.store import Append, Lease, NewRecord, Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.conformance.store import AuditConformance, StoreConformance, TransactionConformance

# --8<-- [start:suite]
pytestmark = pytest.mark.anyio


class TestMemoryStore(StoreConformance, TransactionConformance, AuditConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> MemoryStore:  # noqa: ARG002  (memory has no place)
        return MemoryStore(clock=lambda: self.now)

    async def open_audited(self, folder: Path) -> MemoryStore:  # noqa: ARG002
        return MemoryStore(clock=lambda: self.now, audit=True)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: dict[str, list[str]], name: str) -> None:
        connection.setdefault("names", []).append(name)

    async def put_names(self, store: Store) -> Sequence[str]:
        assert isinstance(store, MemoryStore)
        return store.tables.get("names", [])


# --8<-- [end:suite]


async def test_threads_and_event_loops_share_a_store() -> None:
    store = MemoryStore()

    async def converse(name: str) -> None:
        user = store.for_user("u")
        for n in range(300):
            lease = await user.claim(name, owner=name, ttl=60)
            record = NewRecord(record_id=f"r{n}", kind="k", body=b"x", tokens=1)
            await user.append(
                Append(lease=lease, expected_seq=n, records=[record], state="idle", open_turn=None, release=True)
            )
            await user.conversations()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, backend in enumerate(["asyncio", "trio"] * 2):
                tasks.start_soon(
                    anyio.to_thread.run_sync, lambda b=backend, n=n: anyio.run(converse, f"c{n}", backend=b)
                )

    listed = await store.for_user("u").conversations()
    assert {info.conversation: info.records for info in listed} == {f"c{n}": 300 for n in range(4)}
    assert len({info.updated_at for info in listed}) == 4


def writing(lease: Lease, at: int, record_id: str) -> Append:
    record = NewRecord(record_id=record_id, kind="k", body=b"x", tokens=1)
    return Append(lease=lease, expected_seq=at, records=[record], state="open", open_turn=1)


async def test_transactions_wait_for_each_other_in_the_order_in_which_they_come() -> None:
    store = MemoryStore()
    user = store.for_user("u")
    may_go_on = anyio.Event()

    async def transact(name: str) -> None:
        lease = await user.claim(name, owner="w", ttl=60)

        async def work(tables: dict[str, list[str]]) -> Append:
            tables["names"] = [*tables.get("names", []), name]
            await may_go_on.wait()
            return writing(lease, 0, "a")

        await user.transact(lease, work)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for n in range(4):
                tasks.start_soon(transact, f"c{n}")
                await anyio.wait_all_tasks_blocked()
            with anyio.CancelScope() as given_up:
                given_up.cancel()
                await transact("never")
            assert store.tables == {}
            may_go_on.set()

    assert store.tables == {"names": ["c0", "c1", "c2", "c3"]}


async def test_transactions_of_other_threads_and_event_loops_wait_too() -> None:
    store = MemoryStore()
    user = store.for_user("u")

    async def count(name: str) -> None:
        lease = await user.claim(name, owner="w", ttl=60)
        for n in range(20):

            async def work(tables: dict[str, int], n: int = n) -> Append:
                seen = tables.get("count", 0)
                await anyio.lowlevel.checkpoint()
                tables["count"] = seen + 1
                return writing(lease, n, f"r{n}")

            await user.transact(lease, work)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, backend in enumerate(["asyncio", "trio"] * 2):
                tasks.start_soon(anyio.to_thread.run_sync, lambda b=backend, n=n: anyio.run(count, f"c{n}", backend=b))

    assert store.tables == {"count": 80}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_transaction_that_waits_in_another_event_loop_is_let_in(backend: str) -> None:
    store = MemoryStore()
    user = store.for_user("u")
    queued = threading.Event()

    async def transact(name: str, then: Callable[[], Awaitable[object]]) -> None:
        lease = await user.claim(name, owner="w", ttl=60)

        async def work(tables: dict[str, str]) -> Append:
            tables[name] = "done"
            await then()
            return writing(lease, 0, "a")

        await user.transact(lease, work)

    async def wait_in_line() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transact, "there", anyio.lowlevel.checkpoint)
            await anyio.wait_all_tasks_blocked()
            queued.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            async def until_the_other_waits() -> None:
                tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(wait_in_line, backend=backend))
                await anyio.to_thread.run_sync(queued.wait, 20)

            await transact("here", until_the_other_waits)

    assert store.tables == {"here": "done", "there": "done"}


async def test_a_transaction_that_nobody_goes_on_with_is_waited_for_no_longer_and_comes_too_late() -> None:
    store = MemoryStore(patience=0.01)
    user = store.for_user("u")
    lease = await user.claim("c1", owner="w", ttl=60)
    began, woken = anyio.Event(), anyio.Event()
    refused: list[StoreBusy] = []

    async def work(tables: dict[str, str]) -> Append:
        tables["frozen"] = "c1"
        began.set()
        await woken.wait()
        return writing(lease, 0, "a")

    async def freeze() -> None:
        try:
            await user.transact(lease, work)
        except StoreBusy as error:
            refused.append(error)

    async def transact(name: str) -> None:
        theirs = await user.claim(name, owner="w", ttl=60)

        async def quick(tables: dict[str, str]) -> Append:
            tables[name] = "done"
            return writing(theirs, 0, "a")

        await user.transact(theirs, quick)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(freeze)
            await began.wait()
            async with anyio.create_task_group() as others:
                others.start_soon(transact, "c2")
                others.start_soon(transact, "c3")
            woken.set()

    assert store.tables == {"c2": "done", "c3": "done"}
    assert len(refused) == 1
    assert not await user.read("c1")
    await user.transact(lease, work)
    assert store.tables == {"c2": "done", "c3": "done", "frozen": "c1"}


async def test_work_sees_what_was_committed_and_what_it_fails_to_write_is_nowhere() -> None:
    store = MemoryStore()
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    async def work(tables: dict[str, list[int]]) -> Append:
        tables.setdefault("paid", []).append(1)
        return writing(lease, len(tables["paid"]) - 1, f"r{len(tables['paid'])}")

    async def failing(tables: dict[str, list[int]]) -> Append:
        tables["paid"].append(2)
        raise ZeroDivisionError

    await user.transact(lease, work)
    with pytest.raises(ZeroDivisionError):
        await user.transact(lease, failing)
    await user.transact(lease, work)

    assert store.tables == {"paid": [1, 1]}


async def test_work_that_writes_under_another_lease_is_refused() -> None:
    store = MemoryStore()
    user = store.for_user("u")
    lease = await user.claim("c1", owner="w", ttl=60)
    other = await user.claim("c2", owner="w", ttl=60)

    async def work(tables: dict[str, int]) -> Append:
        tables["count"] = 1
        return writing(other, 0, "a")

    with pytest.raises(InputError):
        await user.transact(lease, work)

    assert store.tables == {}


async def test_a_fork_of_a_conversation_that_was_deleted_and_made_anew_is_another_fork() -> None:
    user = MemoryStore().for_user("u")

    async def make() -> None:
        lease = await user.claim("c", owner="w", ttl=60)
        await user.append(writing(lease, 0, "a"))
        await user.release(lease)

    await make()
    await user.fork("c", "d", at=1)
    await user.delete("c")
    await make()

    with pytest.raises(ConversationExists):
        await user.fork("c", "d", at=1)

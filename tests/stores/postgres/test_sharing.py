"""Tasks, threads and processes on one schema: none disturbs another, and nothing is left of what has gone."""

import gc
import threading
from contextlib import suppress
from random import Random

import anyio
import anyio.to_thread
import psycopg
import pytest

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    LeaseLost,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from assistant_kit.protocols.store import Lease
from assistant_kit.stores.postgres import PostgresStore, Timeouts
from assistant_kit.stores.postgres.migrations import written
from tests.stores.postgres.asking import at, locked, until_some
from tests.stores.postgres.writing import ids, write

pytestmark = pytest.mark.anyio


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("assistant_kit-postgres")]


async def test_a_conversation_that_somebody_holds_locked_is_busy_and_disturbs_none_beside_it(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    store = PostgresStore(postgres_url, schema=schema, connections=2, timeouts=Timeouts(lock=0.1))
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(6)]
    busy: list[str] = []

    async def append(lease: Lease) -> None:
        try:
            await user.append(write(lease, 0, "a"))
        except StoreBusy:
            busy.append(lease.conversation)

    with anyio.fail_after(30), locked(admin, schema, "c2"):
        async with anyio.create_task_group() as tasks:
            for lease in leases:
                tasks.start_soon(append, lease)

    assert busy == ["c2"]
    for lease in leases:
        await user.append(write(lease, 0, "a"))
        assert await ids(user, lease.conversation) == ["a"]
    await store.aclose()


async def test_a_record_that_cannot_be_stored_disturbs_none_beside_it(store: PostgresStore) -> None:
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(4)]
    failed: list[str] = []

    async def append(lease: Lease) -> None:
        try:
            await user.append(write(lease, 0, "a" if lease is leases[1] else "b", kind="\0" * (lease is leases[1])))
        except StoreError:
            failed.append(lease.conversation)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for lease in leases:
                tasks.start_soon(append, lease)

    assert failed == ["c1"]
    assert [info.records for info in await user.conversations()].count(1) == 3


async def test_a_closed_store_says_so_and_has_no_threads(postgres_url: str, schema: str) -> None:
    others = {*threading.enumerate()}  # of stores that nobody has closed, and that end by themselves
    store = PostgresStore(postgres_url, schema=schema)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.read("c")

    with anyio.fail_after(30):
        await store.aclose()
        await store.aclose()

    assert not [thread for thread in threading.enumerate() if thread not in others and thread.name in threads()]
    with pytest.raises(StoreUnavailable):
        await user.append(write(lease, 0, "a"))
    with pytest.raises(StoreUnavailable):
        await user.read("c")


async def test_a_store_that_was_dropped_ends_its_threads(postgres_url: str, schema: str) -> None:
    store = PostgresStore(postgres_url, schema=schema)
    await store.for_user("u").claim("c", owner="w", ttl=60)
    running = [thread for thread in threading.enumerate() if thread.name in threads()]

    del store
    gc.collect()
    for thread in running:
        await anyio.to_thread.run_sync(thread.join, 10)

    assert running
    assert threads() == []


async def test_event_loops_and_threads_share_a_store(store: PostgresStore) -> None:
    user = store.for_user("u")

    async def converse(name: str) -> None:
        lease = await user.claim(name, owner="w", ttl=60)
        for n in range(20):
            await user.append(write(lease, n, f"r{n}"))
            await user.read(name, limit=1)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, backend in enumerate(["asyncio", "trio"] * 2):
                tasks.start_soon(
                    anyio.to_thread.run_sync, lambda b=backend, n=n: anyio.run(converse, f"c{n}", backend=b)
                )

    for n in range(4):
        assert await ids(user, f"c{n}") == [f"r{k}" for k in range(20)]


async def test_a_cancelled_claim_in_a_closing_store_is_let_go(postgres_url: str, schema: str) -> None:
    store = PostgresStore(postgres_url, schema=schema)
    user = store.for_user("u")
    await user.claim("c", owner="w", ttl=60)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: user.claim("d", owner="w", ttl=60))
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(store.aclose)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    assert threads() == []


async def test_a_cancelled_claim_of_what_somebody_else_holds_takes_nothing_back(
    store: PostgresStore, schema: str, admin: psycopg.Connection
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w1", ttl=60)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with locked(admin, schema, "c"):
                tasks.start_soon(lambda: user.claim("c", owner="w2", ttl=60))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        await user.append(write(lease, 0, "a"))

    assert await ids(user, "c") == ["a"]


async def test_a_cancelled_claim_that_failed_takes_nothing_back(
    store: PostgresStore, schema: str, admin: psycopg.Connection
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with locked(admin, schema, "c"):
                tasks.start_soon(lambda: user.claim("c", owner="w", ttl=60))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE NOT granted"
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(until_some, admin, end)
        await user.append(write(lease, 0, "a"))

    assert await ids(user, "c") == ["a"]


@pytest.mark.parametrize("audit", [False, True])
async def test_processes_that_work_on_the_same_conversations_wait_in_no_circle(
    postgres_url: str, schema: str, admin: psycopg.Connection, *, audit: bool
) -> None:
    admin.execute(f"CREATE DATABASE {schema}".encode())  # it counts its deadlocks
    url = at(postgres_url, database=schema)
    stores = [PostgresStore(url, connections=4, audit=audit) for _ in range(3)]

    async def work(store: PostgresStore, seed: int) -> None:
        random = Random(seed)
        for _ in range(10):
            user, name = store.for_user(f"u{random.randrange(3)}"), f"c{random.randrange(4)}"
            with suppress(ConversationBusy, ConversationNotFound, ConversationExists, LeaseLost, ConversationConflict):
                lease = await user.claim(name, owner=f"w{random.randrange(2)}", ttl=60)
                await user.append(write(lease, lease.seq, f"r{random.random()}"))
                await user.fork(name, f"f{random.randrange(4)}", at=lease.seq)
                await user.rename(name, str(seed))
                await user.rewind(lease, to=lease.seq)
                await user.release(lease)
                await user.delete(f"f{random.randrange(4)}")

    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            for seed in range(30):
                tasks.start_soon(work, stores[seed % 3], seed)
        for store in stores:
            await store.aclose()

    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    assert admin.execute(counted, [schema]).fetchone() == (0,)
    admin.execute(f"DROP DATABASE {schema} WITH (FORCE)".encode())


@pytest.mark.parametrize("new", ["a", "zz"])
async def test_a_fork_waits_for_who_takes_its_name_in_the_order_of_names(
    store: PostgresStore, schema: str, admin: psycopg.Connection, new: str
) -> None:
    user = store.for_user("u")
    await user.append(write(await user.claim("z", owner="w", ttl=60), 0, "r"))
    taken = """
        INSERT INTO assistant_kit.conversations (user_name, conversation, segment, fence, created_at, updated_at)
        VALUES ('u', %s, 0, 0, 0, 0)
    """
    wanted = "SELECT FROM assistant_kit.conversations WHERE conversation = %s FOR UPDATE"

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with admin.transaction():
                first, second = sorted([(new, taken), ("z", wanted)])  # as a process of ours does
                admin.execute(written(first[1], schema).encode(), [first[0]])
                tasks.start_soon(lambda: user.fork("z", new, at=1))
                await anyio.to_thread.run_sync(until_some, admin, "SELECT FROM pg_locks WHERE NOT granted")
                admin.execute(written(second[1], schema).encode(), [second[0]])
                raise psycopg.Rollback

    assert await ids(user, new) == ["r"]

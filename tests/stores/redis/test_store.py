# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import gc
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import redis

from assistant_kit.errors import ConversationBusy, NotTransactional, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.keys import roots, shard_of
from assistant_kit.testing.conformance.store import AuditConformance, StoreConformance

pytestmark = pytest.mark.anyio


class TestRedisStore(StoreConformance, AuditConformance):
    ttl = 0.4

    @pytest.fixture(autouse=True)
    def server(self, valkey_url: str) -> None:
        self.url = valkey_url

    async def open_store(self, folder: Path) -> RedisStore:  # noqa: ARG002  (the server is everybody's)
        return RedisStore(self.url)

    async def open_audited(self, folder: Path) -> RedisStore:
        return RedisStore(self.url, prefix=str(folder), audit=True)


@pytest.fixture
async def store(valkey_url: str, tmp_path: Path) -> AsyncIterator[RedisStore]:
    store = RedisStore(valkey_url, prefix=str(tmp_path))
    yield store
    with anyio.fail_after(30):
        await store.aclose()


def write(lease: Lease, at: int, *record_ids: str, body: bytes = b"x", tokens: int = 1) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=body, tokens=tokens) for record_id in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


async def test_writes_that_wait_share_a_round_trip(store: RedisStore, valkey_url: str) -> None:
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(50)]

    with redis.Redis.from_url(valkey_url) as server, anyio.fail_after(30):
        server.client_pause(200, all=False)
        before = server.info("stats")["total_reads_processed"]
        async with anyio.create_task_group() as tasks:
            for lease in leases:
                tasks.start_soon(user.append, write(lease, 0, "a"))
        reads = server.info("stats")["total_reads_processed"] - before

    assert reads < 10
    for n in range(50):
        assert [record.record_id for record in await user.read(f"c{n}")] == ["a"]


async def test_a_long_journal_is_read_page_by_page(store: RedisStore) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    for at in range(0, 3000, 1500):
        await user.append(write(lease, at, *(f"r{n}" for n in range(at + 1, at + 1501))))

    everything = await user.read("c")
    part = await user.read("c", after=500, before=2900, max_tokens=2000, limit=1900)
    limited = await user.read("c", limit=2500)

    assert [record.seq for record in everything] == list(range(1, 3001))
    assert [record.total_tokens for record in everything] == list(range(1, 3001))
    assert [record.seq for record in part] == list(range(1000, 2900))
    assert [record.seq for record in limited] == list(range(501, 3001))
    assert [record.seq for record in await user.read("c", max_tokens=1500)] == list(range(1501, 3001))


async def test_a_journal_of_large_records_is_read_whole(store: RedisStore) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    bodies = [os.urandom(1 if n % 3 else 400_000) for n in range(20)]
    for at, body in enumerate(bodies):
        await user.append(write(lease, at, f"r{at}", body=body))

    assert [record.body for record in await user.read("c")] == bodies


async def test_a_read_sees_one_line_of_descent_although_the_conversation_is_rewound_meanwhile(
    store: RedisStore, valkey_url: str, tmp_path: Path
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0, *(f"old{n}" for n in range(2500))))
    assert len(await user.read("c", limit=1)) == 1
    other = RedisStore(valkey_url, prefix=str(tmp_path))
    found: list[str] = []

    async def read() -> None:
        found.extend(record.record_id for record in await user.read("c"))

    async def rewind() -> None:
        theirs = other.for_user("u")
        await theirs.rewind(lease, to=300)
        await theirs.append(write(lease, 300, *(f"new{n}" for n in range(2000))))
        await other.aclose()

    with redis.Redis.from_url(valkey_url) as server, anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            before = scripts_run(server)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            # From here on the reader's event loop stands still, between its first page and its second.
            while scripts_run(server) == before:
                pass
            thread = threading.Thread(target=lambda: anyio.run(rewind))
            thread.start()
            thread.join(30)

    assert found == [*(f"old{n}" for n in range(300)), *(f"new{n}" for n in range(2000))]


def scripts_run(server: redis.Redis) -> int:
    return server.info("commandstats")["cmdstat_evalsha"]["calls"]


async def test_a_claim_that_was_cancelled_is_taken_back_with_a_note(valkey_url: str, tmp_path: Path) -> None:
    store = RedisStore(valkey_url, prefix=str(tmp_path), audit=True)
    user = store.for_user("u")
    await store.open()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await user.claim("c", owner="w1", ttl=60, begin=NewRecord(record_id="t1", kind="k", body=b"x"))
    await user.rename("c", "settled")  # goes behind what was taken back

    taken = await user.claim("c", owner="w2", ttl=60, begin=NewRecord(record_id="t2", kind="k", body=b"x"))

    assert (taken.begun, taken.seq) == (True, 1)
    notes = [json.loads(link.payload or b"null")["do"] for link in await user.audit_log()]
    assert sorted(notes) == ["append", "append", "rename", "rewind"]
    await store.aclose()


async def test_a_cancelled_claim_leaves_what_it_did_not_begin(store: RedisStore) -> None:
    user = store.for_user("u")
    await user.release(await user.claim("c", owner="w", ttl=60, begin=NewRecord(record_id="t1", kind="k", body=b"x")))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await user.claim("c", owner="w1", ttl=60, begin=NewRecord(record_id="t1", kind="k", body=b"x"))

    taken = await user.claim("c", owner="w2", ttl=60)

    assert (taken.seq, taken.state) == (1, "open")


async def test_users_are_listed_in_order_however_they_are_spread(store: RedisStore) -> None:
    names = sorted((f"{n:03}" for n in range(150)), key=str.encode)
    for name in names:
        await store.for_user(name).claim("c", owner="w", ttl=60)

    pages = [list(await store.users(limit=40))]
    while pages[-1]:
        pages.append(list(await store.users(after=pages[-1][-1], limit=40)))

    assert [name for page in pages for name in page] == names
    assert [len(page) for page in pages] == [40, 40, 40, 30, 0]
    assert list(await store.users(limit=1000)) == names
    assert list(await store.users(limit=0)) == []


async def test_many_held_conversations_do_not_hide_one_to_finish(store: RedisStore) -> None:
    user = store.for_user("u")
    for n in range(120):
        await user.claim(f"held{n}", owner="w", ttl=60, begin=NewRecord(record_id="t", kind="k", body=b""))
    await user.release(await user.claim("free", owner="w", ttl=60, begin=NewRecord(record_id="t", kind="k", body=b"")))

    assert [found.conversation for found in await store.unfinished(limit=1)] == ["free"]
    assert list(await store.unfinished(limit=0)) == []


async def test_a_tool_cannot_write_in_its_transaction(store: RedisStore) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    async def work(_: object) -> Append:
        raise NotImplementedError

    with pytest.raises(NotTransactional):
        await user.transact(lease, work)


async def test_a_closed_store_is_unavailable(store: RedisStore) -> None:
    user = store.for_user("u")
    await store.open()
    await store.aclose()

    with pytest.raises(StoreUnavailable):
        await user.claim("c", owner="w", ttl=60)
    with pytest.raises(StoreUnavailable):
        await store.unfinished()


async def test_a_store_that_nobody_closes_ends_its_threads(valkey_url: str) -> None:
    def threads() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name.startswith("assistant_kit-redis")}

    before = threads()
    store = RedisStore(valkey_url)
    await store.open()
    assert not await store.for_user("nobody").audit_log()
    mine = threads() - before
    assert len(mine) == 2

    del store
    gc.collect()

    for thread in mine:
        thread.join(30)
        assert not thread.is_alive()


async def test_event_loops_and_threads_share_a_store(valkey_url: str, tmp_path: Path) -> None:
    store = RedisStore(valkey_url, prefix=str(tmp_path))

    async def converse(name: str) -> None:
        user = store.for_user("u")
        for n in range(20):
            lease = await user.claim(name, owner=name, ttl=60)
            await user.append(write(lease, n, f"r{n}"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, backend in enumerate(["asyncio", "trio"] * 2):
                tasks.start_soon(
                    anyio.to_thread.run_sync, lambda b=backend, n=n: anyio.run(converse, f"c{n}", backend=b)
                )

    assert {info.records for info in await store.for_user("u").conversations()} == {20}
    await store.aclose()


async def test_a_clock_that_was_set_back_neither_lowers_fences_nor_lengthens_leases(
    store: RedisStore, valkey_url: str, tmp_path: Path
) -> None:
    user = store.for_user("u")
    await store.open()
    ahead = int((time.time() + 7200) * 1_000_000)
    with redis.Redis.from_url(valkey_url) as server:
        server.hset(roots(str(tmp_path))[shard_of("u")], "tick", str(ahead))

    lease = await user.claim("c", owner="w", ttl=60, begin=NewRecord(record_id="t", kind="k", body=b""))
    await user.append(write(lease, 1, "r"))

    assert lease.fence > ahead
    first, second = await user.read("c")
    assert ahead / 1e6 < first.at < second.at
    with pytest.raises(ConversationBusy) as caught:
        await user.claim("c", owner="other", ttl=60)
    assert caught.value.retry_after <= 60

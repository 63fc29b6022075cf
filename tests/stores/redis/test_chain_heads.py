"""Audit chains that many extend at once."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
import redis

from assistant_kit import audit_chain
from assistant_kit.audit import verify
from assistant_kit.audit_chain import link_after
from assistant_kit.errors import StoreBusy, StoreCorrupt
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.redis_address import Address
from assistant_kit.stores.redis import RedisStore, server
from assistant_kit.stores.redis.calls import Question
from assistant_kit.stores.redis.chain_heads import ChainHeads
from assistant_kit.stores.redis.client import Client
from assistant_kit.stores.redis.keys import roots, shard_of
from assistant_kit.stores.redis.questions import Questions
from assistant_kit.stores.redis.server import Terms

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(valkey_url: str, tmp_path: Path) -> AsyncIterator[RedisStore]:
    store = RedisStore(valkey_url, prefix=str(tmp_path))
    yield store
    with anyio.fail_after(30):
        await store.aclose()


def write(lease: Lease, at: int, record_id: str) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=b"x")]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


async def test_a_store_that_keeps_chains_makes_all_others_of_its_prefix_keep_them(
    store: RedisStore, valkey_url: str, tmp_path: Path
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0, "before"))
    audited = RedisStore(valkey_url, prefix=str(tmp_path), audit=True)
    await audited.open()

    await user.append(write(lease, 1, "after"))

    again = RedisStore(valkey_url, prefix=str(tmp_path))
    (link,) = await again.for_user("u").audit_log()
    assert b"after" in (link.payload or b"")
    await again.aclose()
    await audited.aclose()


async def test_processes_that_write_to_one_chain_at_once_lose_no_link(valkey_url: str, tmp_path: Path) -> None:
    stores = [RedisStore(valkey_url, prefix=str(tmp_path), audit=True) for _ in range(4)]

    async def converse(store: RedisStore, name: str) -> None:
        user = store.for_user("u")
        lease = await user.claim(name, owner=name, ttl=60)
        for n in range(10):
            await user.append(write(lease, n, f"r{n}"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, store in enumerate(stores * 3):
                tasks.start_soon(converse, store, f"c{n}")

    links = await stores[0].for_user("u").audit_log(limit=5)
    links = [*links, *await stores[0].for_user("u").audit_log(after=5)]
    assert [link.n for link in links] == list(range(1, 121))
    for before, link in pairwise(links):
        assert link.link == link_after(before.link, link.digest, link.at_us)
    for store in stores:
        await store.aclose()


async def test_a_chain_that_others_always_extend_first_is_busy(valkey_url: str, tmp_path: Path) -> None:
    store = RedisStore(valkey_url, prefix=str(tmp_path), audit=True)
    user = store.for_user("u")
    await user.release(await user.claim("c", owner="w", ttl=60))
    await user.rename("c", "one")
    terms = Terms(
        address=Address(valkey_url, timeout=10, of="RedisStore"),
        roots=roots(str(tmp_path)),
        durability="durable",
        audit=True,
        timeout=10,
        attempts=1,
    )
    hasty = Client(terms)
    question = Questions("u", terms.roots).rename("c", "two")

    with pytest.raises(StoreBusy):
        await hasty.write(question, str)
    await hasty.write(question, str)  # by now it knows where the chain ends

    assert len(await user.audit_log()) == 2
    await hasty.aclose()
    await store.aclose()


async def test_a_damaged_chain_is_not_extended(valkey_url: str, tmp_path: Path) -> None:
    store = RedisStore(valkey_url, prefix=str(tmp_path), audit=True)
    user, other = store.for_user("u"), store.for_user("other")
    for each in (user, other):
        await each.claim("c", owner="w", ttl=60)
        await each.rename("c", "one")
    with redis.Redis.from_url(valkey_url) as server:
        key = f"{roots(str(tmp_path))[shard_of('u')]}:links:u"
        server.lset(key, 0, "damaged")

    with pytest.raises(StoreCorrupt):
        await user.rename("c", "two")
    with pytest.raises(StoreCorrupt):
        await user.erase()
    await other.rename("c", "two")

    assert [info.title for info in await user.conversations()] == ["one"]
    await store.aclose()


async def test_a_process_whose_idea_of_the_time_is_wrong_is_told_the_time(
    store: RedisStore, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = RedisStore(valkey_url, prefix=str(tmp_path), audit=True).for_user("u")
    other = store.for_user("u")
    first = await user.claim("c", owner="w", ttl=60, begin=NewRecord(record_id="t1", kind="k", body=b""))
    await user.append(write(first, 1, "a"))
    for wrong in (-7200, 7200):
        real = time.monotonic_ns()
        monkeypatch.setattr(server.time, "monotonic_ns", lambda r=real, w=wrong: r + w * 10**9)
        await user.append(write(first, len(await other.read("c")), f"a{wrong}"))
        monkeypatch.undo()

    times = [record.at for record in await other.read("c")]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60
    assert [link.at_us for link in await other.audit_log()] == [round(at * 1e6) for at in times]


async def test_a_fence_that_is_chained_is_above_all_earlier_ones_when_clocks_lag(
    store: RedisStore, valkey_url: str, tmp_path: Path
) -> None:
    user = RedisStore(valkey_url, prefix=str(tmp_path), audit=True).for_user("u")
    newcomer = RedisStore(valkey_url, prefix=str(tmp_path), audit=True).for_user("u")
    await user.claim("other", owner="w", ttl=60)  # from here on it knows the time
    await store.open()
    begin = NewRecord(record_id="t", kind="k", body=b"")
    ahead = 0

    for hours in (2, 3):  # by which the server's clock was set back
        ahead = int((time.time() + 3600 * hours) * 1_000_000)
        with redis.Redis.from_url(valkey_url) as connection:
            connection.hset(roots(str(tmp_path))[shard_of("u")], "tick", str(ahead))
        given_up = await user.claim("e", owner="w", ttl=60)
        await user.release(given_up)
    assert (await user.claim("e", owner="w", ttl=60, begin=begin)).fence > given_up.fence
    dropped = await newcomer.claim("d", owner="w", ttl=60)
    await newcomer.release(dropped)
    await newcomer.delete("d")
    anew = await newcomer.claim("d", owner="w", ttl=60, begin=begin)
    assert ahead < dropped.fence < anew.fence
    first = await user.claim("c", owner="w", ttl=60)
    await user.release(first)
    second = await user.claim("c", owner="w", ttl=60, begin=begin)
    await user.release(second)
    await user.delete("c")
    third = await newcomer.claim("c", owner="w", ttl=60, begin=begin)
    fourth = await newcomer.claim("c", owner="w", ttl=60)

    fences = [lease.fence for lease in (first, second, third, fourth)]
    assert fences == sorted(set(fences))
    assert fences[0] > ahead
    for name, lease in (("c", third), ("d", anew)):
        (record,) = await store.for_user("u").read(name)
        assert record.fence == lease.fence
    assert (await verify(store.for_user("u"))).ok


def test_only_so_many_ends_of_chains_are_kept_in_mind() -> None:
    heads = ChainHeads(limit=2)
    first, *others = [Question(script="s", keys=("root",), user=name) for name in "abc"]
    for question in (first, *others):
        heads.extend(question, audit_chain.erased(), at_us=1)

    assert heads.extend(first, audit_chain.erased(), at_us=1)[0] == audit_chain.GENESIS
    assert heads.extend(others[-1], audit_chain.erased(), at_us=1)[0] != audit_chain.GENESIS


def test_times_of_links_do_not_go_back() -> None:
    heads, question = ChainHeads(), Question(script="s", keys=("root",), user="u")
    entries = [heads.extend(question, audit_chain.erased(), at_us=at)[1] for at in (5, 3, 7)]

    assert [int.from_bytes(entry[:8], "big") for entry in entries] == [5, 5, 7]


async def test_a_long_chain_is_read_page_by_page(valkey_url: str, tmp_path: Path) -> None:
    store = RedisStore(valkey_url, prefix=str(tmp_path), audit=True)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    with anyio.fail_after(60):
        for n in range(0, 1100, 100):
            async with anyio.create_task_group() as tasks:
                for k in range(n, n + 100):
                    tasks.start_soon(user.rename, "c", f"{k}")

    assert [link.n for link in await user.audit_log(limit=5000)] == list(range(1, 1101))
    assert [link.n for link in await user.audit_log(limit=1050)] == list(range(1, 1051))
    await user.release(lease)
    await store.aclose()

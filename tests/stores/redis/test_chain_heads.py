"""Audit chains that many extend at once."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
import redis

from assistant_kit import audit_chain
from assistant_kit.audit_chain import link_after
from assistant_kit.errors import StoreBusy, StoreCorrupt
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.address import Address
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
        address=Address(valkey_url, timeout=10),
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

"""Keys, and that a cluster can keep them."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import time
from collections.abc import Iterator

import anyio
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.keys import SHARDS, escaped, roots, shard_of, unescaped
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

USERS = ["u", "{", "}", "a{b}c", "{}", "}{x}", "a:b", "a%3Ab", "ü", "会话"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of one node: it refuses what would not stay together."""
    options = {"--cluster-enabled": "yes", "--cluster-port": str(free_port()), "--cluster-require-full-coverage": "no"}
    with running_valkey(options=options) as url, redis.Redis.from_url(url) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        give_up = time.monotonic() + 30
        while client.cluster("INFO")["cluster_state"] != "ok":
            assert time.monotonic() < give_up
            time.sleep(0.01)
        yield url


def test_shards_have_equal_parts_of_a_cluster(cluster: str) -> None:
    with redis.Redis.from_url(cluster) as client:
        slots = [client.cluster("KEYSLOT", root) for root in roots("p")]

    assert [slot * SHARDS // 16384 for slot in slots] == list(range(SHARDS))


def test_users_are_spread_evenly() -> None:
    counts = [0] * SHARDS
    for n in range(10_000):
        counts[shard_of(f"user-{n}")] += 1

    assert min(counts) > 200


async def test_every_operation_stays_in_one_slot(cluster: str) -> None:
    with redis.Redis.from_url(cluster) as client:
        client.flushall()
    store = RedisStore(cluster, prefix="p", audit=True)
    with anyio.fail_after(60):
        for name in USERS:
            user = store.for_user(name)
            lease = await user.claim(name, owner=name, ttl=60, begin=NewRecord(record_id=name, kind="k", body=b"x"))
            await user.append(
                Append(
                    lease=lease,
                    expected_seq=1,
                    records=[NewRecord(record_id="r2", kind="k", body=b"x")],
                    state="waiting",
                    open_turn=1,
                )
            )
            await user.fork(name, f"{name}2", at=1)
            await user.rewind(lease, to=1)
            await user.rename(name, name)
            assert await user.locate(f"{name}2", name) == 1
            assert len(await user.read(name)) == 1
            assert {info.conversation for info in await user.conversations()} == {name, f"{name}2"}
            await user.delete(f"{name}2")
            assert len(await user.audit_log()) == 6
            await user.release(lease)
        assert list(await store.users()) == sorted(USERS, key=str.encode)
        with redis.Redis.from_url(cluster) as client:
            slots = {client.cluster("KEYSLOT", root) for root in roots("p")}
            assert {client.cluster("KEYSLOT", key) for key in client.keys("p:*")} == slots
        assert {found.user for found in await store.unfinished(state="idle")} == set(USERS)
        for name in USERS:
            assert await store.for_user(name).erase() == 1
        assert [name[:7] for name in await store.users()] == ["erased-"] * len(USERS)
        await store.aclose()


@given(st.text(), st.text())
def test_escaped_names_are_told_apart_and_can_be_read_back(one: str, other: str) -> None:
    assert ":" not in escaped(one)
    assert unescaped(escaped(one)) == one
    assert (escaped(one) == escaped(other)) == (one == other)


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "a\nb", "a\0"])
def test_a_prefix_that_cannot_begin_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisStore("redis://localhost", prefix=prefix)

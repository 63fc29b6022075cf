"""Which servers are trusted with what, by a real server's own settings."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator
from signal import SIGKILL

import anyio
import pytest
import redis

from assistant_kit.errors import StoreUnavailable, StoreVolatile
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.durability import Durability
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

DEFAULTS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this file's own: its settings are changed."""
    with running_valkey(stop=SIGKILL) as url:  # asked to end, it would first write a new append-only file
        yield url


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.config_resetstat()
        yield client
        for name, value in DEFAULTS.items():
            client.config_set(name, value)


async def opened(url: str, durability: Durability = "durable") -> None:
    store = RedisStore(url, durability=durability)
    try:
        with anyio.fail_after(30):
            await store.open()
    finally:
        await store.aclose()


def waits(server: redis.Redis) -> int:
    """How often somebody waited for the disk."""
    stats = server.info("commandstats").get("cmdstat_waitaof")
    return stats["calls"] if stats else 0


async def test_without_an_append_only_file_a_server_is_refused_and_nothing_written() -> None:
    with running_valkey(append_only=False) as url, redis.Redis.from_url(url) as client:
        for durability in ("durable", "everysec"):
            with pytest.raises(StoreVolatile) as caught:
                await opened(url, durability)
            assert caught.value.place == url
        assert client.dbsize() == 0

        await opened(url, "volatile")


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_server_that_may_drop_keys_is_refused(server: redis.Redis, url: str, policy: str) -> None:
    server.config_set("maxmemory", "100mb")
    server.config_set("maxmemory-policy", policy)

    with pytest.raises(StoreVolatile):
        await opened(url)
    assert server.dbsize() == 0
    await opened(url, "volatile")


@pytest.mark.parametrize(
    ("memory", "policy"), [("100mb", "noeviction"), ("100mb", "volatile-lru"), ("0", "allkeys-lru")]
)
async def test_a_server_that_drops_nothing_of_ours_is_trusted(
    server: redis.Redis, url: str, memory: str, policy: str
) -> None:
    server.config_set("maxmemory", memory)
    server.config_set("maxmemory-policy", policy)

    await opened(url)


async def test_a_server_that_leaves_the_disk_to_the_system_is_refused(server: redis.Redis, url: str) -> None:
    server.config_set("appendfsync", "no")

    with pytest.raises(StoreVolatile):
        await opened(url)
    with pytest.raises(StoreVolatile):
        await opened(url, "everysec")
    await opened(url, "volatile")


@pytest.mark.parametrize(
    ("fsync", "durability", "waited"),
    [("always", "durable", False), ("everysec", "durable", True), ("everysec", "everysec", False)],
)
async def test_an_acknowledged_write_is_on_disk_if_it_is_to_be(
    server: redis.Redis, url: str, fsync: str, durability: Durability, *, waited: bool
) -> None:
    server.config_set("appendfsync", fsync)
    store = RedisStore(url, durability=durability)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    assert not await user.read("c")
    before = waits(server)
    write = Append(
        lease=lease,
        expected_seq=0,
        records=[NewRecord(record_id="r", kind="k", body=b"")],
        state="open",
        open_turn=1,
    )

    await user.append(write)
    await user.append(write)  # repeated: it is to be on disk now as well
    await user.read("c")

    assert waits(server) - before == (2 if waited else 0)
    await store.aclose()


async def test_a_write_that_does_not_get_to_disk_is_not_acknowledged(server: redis.Redis, url: str) -> None:
    server.config_set("appendfsync", "everysec")
    store = RedisStore(url, timeout=1.5)
    await store.open()
    server.config_set("appendfsync", "no")

    with pytest.raises(StoreUnavailable):
        await store.for_user("u").claim("c", owner="w", ttl=60)

    with pytest.raises(StoreVolatile):  # the next connection asks anew
        await store.open()
    await store.aclose()


async def test_a_file_that_is_switched_off_later_is_noticed(server: redis.Redis, url: str) -> None:
    server.config_set("appendfsync", "everysec")
    store = RedisStore(url)
    await store.open()
    server.config_set("appendonly", "no")

    with pytest.raises(StoreUnavailable):
        await store.for_user("u").claim("c", owner="w", ttl=60)

    with pytest.raises(StoreVolatile):
        await store.open()
    await store.aclose()


@pytest.mark.parametrize(
    ("rights", "append_only", "durability", "trusted"),
    [
        ("-config", "yes", "durable", True),
        ("-config", "yes", "everysec", True),
        ("-config", "no", "durable", False),
        ("-config -waitaof", "yes", "durable", False),
        ("-config -waitaof", "yes", "everysec", True),
        ("-config -info", "yes", "durable", False),
        ("-config -info", "yes", "volatile", True),
        ("-@dangerous +config|get +info", "yes", "durable", True),  # as the page says
    ],
)
async def test_where_settings_are_not_told_what_is_told_counts(
    server: redis.Redis, url: str, rights: str, append_only: str, durability: Durability, *, trusted: bool
) -> None:
    server.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "+@all", *rights.split())
    server.config_set("appendonly", append_only)
    mine = url.replace("//", "//app:pw@")

    if trusted:
        await opened(mine, durability)
    else:
        with pytest.raises(StoreVolatile) as caught:
            await opened(mine, durability)
        assert caught.value.place == url

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import socket
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, cast

import anyio
import pytest
import redis
import redis.crc
import redis.exceptions

from assistant_kit.errors import (
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    UnknownStore,
)
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.shared_states.redis import ADVICE, RedisState
from assistant_kit.testing.conformance.shared_state import SharedStateConformance, place_name
from assistant_kit.testing.conformance.shared_state_workbench import increment, look, put
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

ROOT = "assistant_kit:state:{owner=o}"


class TestRedisState(SharedStateConformance):
    @pytest.fixture(autouse=True)
    def server(self, valkey_url: str) -> None:
        self.url = valkey_url

    async def open_state(self, folder: Path) -> SharedState:
        return RedisState(self.url, prefix=place_name(folder))

    def elsewhere(self, folder: Path) -> str:
        given = f"{self.url!r}, prefix={place_name(folder)!r}"
        return f"from assistant_kit.shared_states.redis import RedisState; state = RedisState({given})"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this file's own: its settings are changed, and it forgets."""
    with running_valkey(append_only=False) as url:
        yield url


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncGenerator[RedisState]:
    state = RedisState(url, **settings)
    try:
        with anyio.fail_after(30):
            yield state
    finally:
        with anyio.fail_after(30, shield=True):
            await state.aclose()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("rediss://me:secret@host:1/2", "rediss://host:1/2"),
        ("valkeys://host:1/?db=3", "valkeys://host:1/3"),
        ("unix:///var/run/redis.sock", "unix:///var/run/redis.sock"),
    ],
)
def test_an_address_names_a_place_without_its_password(address: str, place: str) -> None:
    assert repr(RedisState.from_address(address)) == f"RedisState({place!r})"


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "redis://:sec/ret@host:6379/0",
        "redis://:secret@host:port/0",
        "redis://:secret@host?decode_responses=true",
        "redis://:secret@[host",
    ],
)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisState(url)

    assert "sec" not in f"{caught.value} {caught.value.__cause__}"


def test_other_schemes_are_refused() -> None:
    with pytest.raises(UnknownStore):
        RedisState.from_address("postgresql://host")


@pytest.mark.parametrize("prefix", ["", "a{b", "a}", "a\n"])
def test_a_prefix_that_cannot_begin_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisState("redis://host", prefix=prefix)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_is_a_positive_number(timeout: float) -> None:
    with pytest.raises(ConfigurationError):
        RedisState("redis://host", timeout=timeout)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no..host:6379"])
async def test_a_server_that_is_not_there_is_unavailable(host: str) -> None:
    async with opened(f"redis://{host}/0") as state:
        with pytest.raises(StoreUnavailable):
            await state.update("o", "k", increment)


async def test_nothing_is_sent_a_second_time_when_an_answer_was_lost() -> None:
    sent: list[bytes] = []

    def take_and_hang_up(listening: socket.socket) -> None:
        with suppress(OSError):  # closed below
            while True:
                with listening.accept()[0] as client:
                    sent.append(client.recv(10_000))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=take_and_hang_up, args=(listening,))
        thread.start()
        async with opened(f"redis://127.0.0.1:{listening.getsockname()[1]}/0") as state:
            with pytest.raises(StoreUnavailable):
                await state.update("o", "k", increment)
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(30)

    assert len(sent) == 1


@pytest.mark.parametrize("owner", ["", "o", "{", "}", "a}b", "{}", "a{b}c"])
async def test_all_of_an_owner_lies_in_one_slot_of_a_cluster(server: redis.Redis, url: str, owner: str) -> None:
    async with opened(url) as state:
        await state.update(owner, "k", increment)
        await state.update(owner, "{other}", increment)

    keys = cast("list[bytes]", server.keys())
    assert len(keys) == 2
    assert len({redis.crc.key_slot(key) for key in keys}) == 1
    assert all(redis.crc.key_slot(key) != redis.crc.key_slot(b"assistant_kit:state:{owner=z}") for key in keys)


async def test_a_wrong_password_is_told_and_never_shown(server: redis.Redis, url: str) -> None:
    server.execute_command("ACL", "SETUSER", "ann", "on", ">right", "~*", "+@all")
    async with opened(url.replace("//", "//ann:wr0ng@")) as state:
        with pytest.raises(StoreUnavailable) as caught:
            await state.update("o", "k", increment)
        assert "wr0ng" not in f"{caught.value} {caught.value.__cause__!r} {state!r}"
    async with opened(url.replace("//", "//ann:right@")) as state:
        assert await state.update("o", "k", increment) == 1


async def test_a_user_needs_only_these_rights(server: redis.Redis, url: str) -> None:
    # --8<-- [start:rights]
    commands = "+time +hget +hset +hdel +hgetall +unlink +zadd +zrem +zrangebyscore +pttl +persist +pexpireat"
    rights = ["~assistant_kit:state:*", *commands.split(), "+evalsha", "+script|load", "+ping", "+select", "+client"]
    # --8<-- [end:rights]
    server.execute_command("ACL", "SETUSER", "poor", "reset", "on", ">pw", *rights)
    async with opened(url.replace("//", "//poor:pw@")) as state:
        await state.update("o", "k", put(b"v", keep=float("inf")))
        await state.update("o", "k", put(None))
        await state.values("o")
        await state.erase("o")

    server.execute_command("ACL", "SETUSER", "poor", "-evalsha")
    async with opened(url.replace("//", "//poor:pw@")) as state:
        with pytest.raises(StoreUnavailable):
            await state.update("o", "k", increment)


async def test_a_server_that_went_away_is_used_again_when_it_is_back() -> None:
    port = free_port()
    async with opened(f"redis://127.0.0.1:{port}/0") as state:
        with running_valkey(append_only=False, port=port):
            assert await state.update("o", "k", increment) == 1
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await state.update("o", "k", increment)
        with running_valkey(append_only=False, port=port):
            assert await state.update("o", "k", increment) == 1  # it has forgotten


async def test_a_connection_that_was_killed_is_replaced(server: redis.Redis, url: str) -> None:
    async with opened(f"{url}?client_name=mine") as state:
        for count in (1, 2, 3):
            assert await state.update("o", "k", increment) == count
            mine = [client for client in server.client_list() if client["name"] == "mine"]
            assert len(mine) == 1
            server.client_kill_filter(_id=mine[0]["id"])


async def test_a_server_that_does_not_answer_in_time_is_unavailable_until_it_does(
    server: redis.Redis, url: str
) -> None:
    async with opened(url, timeout=0.2) as state:
        await state.update("o", "k", increment)
        server.client_pause(60_000, all=False)
        try:
            with pytest.raises(StoreUnavailable):
                await state.update("o", "k", increment)
        finally:
            server.client_unpause()

        assert await state.update("o", "k", increment) == 2


async def test_a_server_without_room_is_unavailable_and_still_erases(server: redis.Redis, url: str) -> None:
    async with opened(url) as state:
        await state.update("o", "k", increment)
        server.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                await state.update("o", "k", increment)
            assert await state.values("o") == {"k": b"1"}
            await state.erase("o")
        finally:
            server.config_set("maxmemory", 0)
        assert await state.update("o", "k", increment) == 1


async def test_a_server_that_forgets_lets_counters_start_anew(server: redis.Redis, url: str) -> None:
    async with opened(url) as state:
        await state.update("o", "k", increment)
        server.flushall()
        server.script_flush()
        assert await state.update("o", "k", increment) == 1


async def test_flushed_scripts_are_loaded_again(server: redis.Redis, url: str) -> None:
    async with opened(url) as state:
        await state.update("o", "k", increment)
        server.script_flush()
        assert await state.update("o", "k", increment) == 2


async def test_what_is_not_ours_is_left_as_it_is_and_disturbs_no_other_owner(server: redis.Redis, url: str) -> None:
    server.set(ROOT, "theirs")
    server.hset(ROOT.replace("=o", "=p"), "k", "theirs and long enough to be one of ours")
    told: list[str] = []

    async with opened(url) as state:

        async def count(owner: str) -> None:
            try:
                await state.update(owner, "k", increment)
            except StoreCorrupt:
                told.append(owner)

        server.client_pause(100, all=False)  # so that they wait together
        async with anyio.create_task_group() as tasks:
            for owner in ("o", "p", "q"):
                tasks.start_soon(count, owner)
        for owner in ("o", "p"):
            with pytest.raises(StoreCorrupt):
                await state.values(owner)
        assert await state.values("q") == {"k": b"1"}

    assert sorted(told) == ["o", "p"]
    assert server.get(ROOT) == b"theirs"


async def test_500_changes_of_one_value_at_once_cost_a_few_writes(server: redis.Redis, url: str) -> None:
    async with opened(url) as state:
        await state.update("o", "k", increment)
        server.config_resetstat()
        async with anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(state.update, "o", "k", increment)

        assert await state.values("o") == {"k": b"501"}
    assert server.info("commandstats")["cmdstat_evalsha"]["calls"] < 50


async def test_a_value_that_somebody_else_changes_meanwhile_is_decided_again(server: redis.Redis, url: str) -> None:
    seen: list[bytes | None] = []

    def change(value: bytes | None, now: float) -> Changed[int]:
        seen.append(value)
        if len(seen) < 3:
            head = struct.pack(">3s8sdd", b"ak1", b"rival %02d" % len(seen), now, now + 60)
            server.hset(ROOT, "k", head + b"%d" % (100 * len(seen)))
        return increment(value, now)

    async with opened(url) as state:
        assert await state.update("o", "k", change) == 201
        assert seen == [None, b"100", b"200"]
        assert await state.values("o") == {"k": b"201"}


async def test_a_clock_that_was_set_back_counts_from_the_last_write_on(server: redis.Redis, url: str) -> None:
    later = 4e9
    server.hset(ROOT, "k", struct.pack(">3s8sdd", b"ak1", b"12345678", later, later + 5) + b"v")
    async with opened(url) as state:
        assert await state.update("o", "k", look) == (b"v", later)
        assert await state.update("o", "k", put(b"w", keep=1)) == later
        assert await state.values("o") == {"k": b"w"}
        assert await state.update("o", "k", put(b"gone", keep=0)) == later
        assert await state.values("o") == {}


async def test_all_of_an_owner_expires_with_his_last_value(server: redis.Redis, url: str) -> None:
    async with opened(url) as state:
        for keep in (100, 300, 200):
            await state.update("o", f"k{keep}", put(b"v", keep=keep))
        for key in (ROOT, f"{ROOT}:until"):
            assert 200_000 < server.pttl(key) <= 300_001

        await state.update("o", "forever", put(b"v", keep=float("inf")))
        await state.update("o", "k", put(b"v", keep=100))
        for key in (ROOT, f"{ROOT}:until"):
            assert server.pttl(key) == -1


async def test_values_that_nobody_asks_for_any_more_are_deleted_with_other_changes(
    server: redis.Redis, url: str
) -> None:
    async with opened(url) as state:
        await state.update("o", "k", put(b"0", keep=600))
        for n in range(25):
            server.hset(ROOT, f"old{n}", struct.pack(">3s8sdd", b"ak1", b"12345678", 1, 2) + b"v")
            server.zadd(f"{ROOT}:until", {f"old{n}": 2000})
        assert await state.values("o") == {"k": b"0"}

        for left in (6, 1):
            await state.update("o", "k", increment)
            assert server.hlen(ROOT) == server.zcard(f"{ROOT}:until") == left

        assert await state.values("o") == {"k": b"2"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.exceptions.MovedError("1234 127.0.0.1:7001"), StoreUnavailable),
        (redis.exceptions.ResponseError("NOPROTO what is that"), StoreError),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), StoreBusy),
        (redis.exceptions.ResponseError("script: 22: -OOM command not allowed"), StoreUnavailable),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against a key"), StoreCorrupt),
    ],
)
def test_other_answers_have_a_meaning(error: redis.RedisError, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "redis://host:6379/0")) is kind

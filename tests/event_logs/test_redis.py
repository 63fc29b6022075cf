# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
import redis
import redis.exceptions as foreign

from assistant_kit.errors import (
    ConfigurationError,
    MissingDependency,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from assistant_kit.event_logs import _redis_feeds
from assistant_kit.event_logs._redis_wire import store_error
from assistant_kit.event_logs.redis import RedisEventLog, published
from assistant_kit.protocols.event_log import EventLog, UserEventLog
from assistant_kit.testing.conformance.event_log import EventLogConformance
from assistant_kit.testing.conformance.event_log_workbench import events, heard, texts, told
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

ROOT = "assistant_kit:events:{u}"


class TestRedisEventLog(EventLogConformance):
    @pytest.fixture(autouse=True)
    def server(self, valkey_url: str) -> None:
        self.url = valkey_url

    async def open_log(self, folder: Path, *, most: int) -> EventLog:
        return RedisEventLog(self.url, most=most, prefix=f"events-{folder.name}")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this file's own: its connections are cut, and it forgets."""
    with running_valkey(append_only=False) as url:
        yield url


@pytest.fixture
def server(url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
async def events_log(url: str, server: "redis.Redis") -> AsyncIterator[RedisEventLog]:
    del server
    log = RedisEventLog(url)
    yield log
    await log.aclose()


@pytest.fixture
def log(events_log: RedisEventLog) -> UserEventLog:
    return events_log.for_user("u")


def listeners(server: "redis.Redis") -> list[str]:
    found: list[dict[str, str]] = server.client_list(_type="pubsub")
    return [each["id"] for each in found]


async def test_any_number_of_readers_share_one_connection(log: UserEventLog, server: "redis.Redis") -> None:
    readers = [log.follow(f"c{n % 5}") for n in range(50)]
    for n in range(5):
        await told(await log.open(f"c{n}", fence=1), "a")
    for reader in readers:
        assert texts(await heard(reader, 1)) == ["a"]

    assert len(listeners(server)) == 1
    assert len(server.client_list()) == 3  # that of this test, one that asks, one that listens
    for reader in readers:
        await reader.aclose()


async def test_readers_miss_nothing_when_their_connection_is_cut(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    assert texts(await heard(reader, 1)) == ["a"]
    found: list[str] = []
    with anyio.fail_after(4):
        for text in "bcdef":
            for client in listeners(server):
                server.client_kill_filter(_id=client)
            await told(writer, text)
            while found[-1:] != [text]:
                with anyio.move_on_after(30):
                    try:
                        found += texts(await reader.next())
                    except StoreUnavailable:
                        await anyio.sleep(0.05)
    assert found == list("bcdef")
    await reader.aclose()


async def test_a_server_that_forgets_its_scripts_learns_them_again(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    server.script_flush()
    await told(writer, "b")
    assert texts(await log.read("c")) == ["a", "b"]


async def test_a_server_that_forgets_everything_is_told_anew(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    (last,) = await told(writer, "a")
    server.flushall()
    assert await told(writer, "b") == [last + 1]
    assert writer.standing.mark == last
    assert texts(await log.read("c", after=last - 1)) == ["reset"]


async def test_who_waits_when_a_log_is_closed_is_told(url: str, server: "redis.Redis") -> None:
    del server
    log = RedisEventLog(url)
    writer = await log.for_user("u").open("c", fence=1)
    reader = log.for_user("u").follow("c")
    await told(writer, "a")
    await heard(reader, 1)
    told_so: list[str] = []

    async def follow() -> None:
        with pytest.raises(StoreUnavailable):
            await reader.next()
        told_so.append("reader")

    async def wait_for_a_stop() -> None:
        with pytest.raises(StoreUnavailable):
            await writer.stop_asked()
        told_so.append("writer")

    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(wait_for_a_stop)
            await anyio.wait_all_tasks_blocked()
            await log.aclose()
    assert sorted(told_so) == ["reader", "writer"]
    await reader.aclose()


async def test_what_nobody_writes_to_any_more_expires(url: str, server: "redis.Redis") -> None:
    log = RedisEventLog(url, keep=0.05)
    await told(await log.for_user("u").open("c", fence=1), "a")
    with anyio.fail_after(10):
        while server.keys():  # noqa: ASYNC110  (the server tells nobody)
            await anyio.sleep(0.01)
    await log.aclose()


async def test_keys_of_a_user_lie_in_one_slot_and_are_quoted(log: UserEventLog, server: "redis.Redis") -> None:
    await told(await log.open("a}:b", fence=1), "a")
    assert set(server.keys()) == {key.encode() for key in (ROOT, f"{ROOT}:a%7D%3Ab", f"{ROOT}:a%7D%3Ab:about")}


async def test_data_of_another_program_are_found_out(log: UserEventLog, server: "redis.Redis") -> None:
    await told(await log.open("c", fence=1), "a")
    server.xadd(f"{ROOT}:c", {"x": "y"})
    with pytest.raises(StoreCorrupt):
        await log.read("c")
    server.delete(f"{ROOT}:c")
    server.set(f"{ROOT}:c", "x")
    with pytest.raises(StoreCorrupt):
        await log.read("c")


async def test_what_cannot_be_understood_is_looked_up(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    await heard(reader, 1)
    server.publish(f"{ROOT}:c", "x")
    await writer.append(events("b"))
    assert texts(await heard(reader, 1)) == ["b"]
    assert published(b"1\ntoken") == published(b"1\ntoken\n{") == ()
    await reader.aclose()


async def test_a_reader_far_behind_gets_what_is_not_kept_in_this_process(log: UserEventLog) -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    await heard(reader, 1)
    written = [letter * 100_000 for letter in "bcdef"]
    await told(writer, *written)
    assert texts(await heard(reader, 5)) == written
    await reader.aclose()


async def test_an_event_that_is_too_large_to_be_kept_in_this_process_arrives(log: UserEventLog) -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    await heard(reader, 1)
    await told(writer, "b" * 300_000)
    assert texts(await heard(reader, 1)) == ["b" * 300_000]
    await reader.aclose()


async def test_a_reader_is_told_when_ids_begin_anew_below_its_own(log: UserEventLog, server: "redis.Redis") -> None:
    reader = log.follow("c")
    await told(await log.open("c", fence=1), "a")
    await heard(reader, 1)
    server.flushall()
    server.hset(f"{ROOT}:c:about", mapping={"start": 4, "last": 4, "mark": 4})  # as by a clock that was set back
    await told(await log.open("c", fence=1), "b", "c")
    assert texts(await heard(reader, 1)) == ["reset"]
    assert texts(await heard(reader, 2)) == ["b", "c"]
    await reader.aclose()


async def test_a_quiet_connection_is_tried(
    log: UserEventLog, server: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_feeds, "_QUIET", 0.01)
    reader = log.follow("c")
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    await heard(reader, 1)
    with anyio.fail_after(4):
        while [each["cmd"] for each in server.client_list(_type="pubsub")] != ["ping"]:
            await anyio.sleep(0.01)
    await told(writer, "b")
    assert texts(await heard(reader, 1)) == ["b"]
    await reader.aclose()


async def test_a_server_that_is_away_is_an_error_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    log = RedisEventLog(f"redis://127.0.0.1:{port}/0", timeout=5)
    mine = log.for_user("u")
    reader = mine.follow("c")
    with anyio.fail_after(60):
        with pytest.raises(StoreUnavailable):
            await mine.open("c", fence=1)
        with pytest.raises(StoreUnavailable):
            await reader.next()
        with running_valkey(append_only=False, port=port, folder=tmp_path):
            await told(await mine.open("c", fence=1), "a")
            found: list[str] = []
            while not found:
                try:
                    found += texts(await reader.next())
                except StoreUnavailable:
                    await anyio.sleep(0.05)
        assert found == ["a"]
        with pytest.raises(StoreUnavailable):
            await reader.next()
        await reader.aclose()
        await log.aclose()
        with pytest.raises(StoreUnavailable):
            await mine.read("c")
        with pytest.raises(StoreUnavailable):
            await mine.follow("c").next()


async def test_a_server_that_hangs_is_an_error(free_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_tcp_port)):
        log = RedisEventLog(f"redis://127.0.0.1:{free_tcp_port}/0", timeout=0.05)
        with pytest.raises(StoreUnavailable), anyio.fail_after(10):
            await log.for_user("u").standing("c")
        await log.aclose()


@pytest.mark.parametrize(
    "url",
    ["http://x", "redis://x/a", "redis://x:port/0", "redis://x/0?decode_responses=1"],
    ids=["scheme", "database", "port", "option"],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisEventLog(url)


async def test_an_address_may_name_the_connection(url: str, server: "redis.Redis") -> None:
    log = RedisEventLog(f"{url}?client_name=assistant")
    with anyio.fail_after(4):
        await log.for_user("u").standing("c")
    assert "assistant" in {client["name"] for client in server.client_list()}
    await log.aclose()


async def test_a_user_who_may_not_load_scripts_is_an_error(url: str, server: "redis.Redis") -> None:
    server.acl_setuser("me", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=["+evalsha"])
    log = RedisEventLog(url.replace("redis://", "redis://me:secret@"))
    with pytest.raises(StoreUnavailable), anyio.fail_after(4):
        await log.for_user("u").standing("c")
    await log.aclose()


def test_settings_that_make_no_sense_are_refused() -> None:
    for prefix in ("", "a{", "}", "\n"):
        with pytest.raises(ConfigurationError):
            RedisEventLog("redis://x", prefix=prefix)
    for keep, most in ((0.0, 1), (1.0, 0)):
        with pytest.raises(ConfigurationError):
            RedisEventLog("redis://x", keep=keep, most=most)
    with pytest.raises(ConfigurationError):
        RedisEventLog("redis://x", timeout=0)


def test_a_password_is_not_shown() -> None:
    assert repr(RedisEventLog("redis://me:secret@x:1/2")) == "RedisEventLog('redis://x:1/2')"
    assert repr(RedisEventLog("unix:///run/redis.sock")) == "RedisEventLog('unix:///run/redis.sock')"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (foreign.AuthenticationError("x"), StoreUnavailable),
        (foreign.ResponseError("BUSY script"), StoreBusy),
        (foreign.ResponseError("ERR in script: -MISCONF x"), StoreUnavailable),
        (foreign.ResponseError("WRONGTYPE x"), StoreCorrupt),
        (foreign.ResponseError("ERR unknown"), StoreError),
    ],
    ids=["password", "busy", "disk", "type", "unknown"],
)
def test_errors_of_the_server_are_ours(error: Exception, kind: type[StoreError]) -> None:
    assert type(store_error(error, "redis://x")) is kind


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("redis", "assistant_kit.event_logs"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingDependency) as caught:
        __import__("assistant_kit.event_logs.redis")
    assert (caught.value.package, caught.value.extra) == ("redis", "redis")

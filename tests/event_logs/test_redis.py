# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
import redis

from assistant_kit.errors import MissingDependency, StoreCorrupt, StoreUnavailable
from assistant_kit.event_logs import _redis_feeds
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


def calls(server: "redis.Redis", command: str) -> int:
    stats: dict[str, dict[str, int]] = server.info("commandstats")
    return stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]


async def test_any_number_of_readers_share_one_connection(url: str, server: "redis.Redis") -> None:
    events_log = RedisEventLog(f"{url}?client_name=shared")  # those of a test before may still be closing
    log = events_log.for_user("u")
    readers = [log.follow(f"c{n % 5}") for n in range(50)]
    for n in range(5):
        await told(await log.open(f"c{n}", fence=1), "a")
    for reader in readers:
        assert texts(await heard(reader, 1)) == ["a"]

    known: list[dict[str, str]] = [each for each in server.client_list() if each["name"] == "shared"]
    assert len(known) == 2  # one that asks, one that listens
    assert sum(each["name"] == "shared" for each in server.client_list(_type="pubsub")) == 1
    for reader in readers:
        await reader.aclose()
    await events_log.aclose()


async def test_what_nobody_follows_any_more_is_not_listened_to(log: UserEventLog, server: "redis.Redis") -> None:
    readers = [log.follow("c"), log.follow("c")]
    await told(await log.open("c", fence=1), "a")
    for reader in readers:
        await heard(reader, 1)
        await reader.aclose()
        await reader.aclose()
    new = log.follow("new")
    await told(await log.open("new", fence=1), "a")
    await heard(new, 1)
    with anyio.fail_after(30):
        while server.pubsub_channels(f"{ROOT}:*") != [f"{ROOT}:new".encode()]:  # noqa: ASYNC110  (the server tells nobody)
            await anyio.sleep(0.01)
    await new.aclose()


async def test_readers_miss_nothing_when_their_connection_is_cut(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    assert texts(await heard(reader, 1)) == ["a"]
    found: list[str] = []
    with anyio.fail_after(30):
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


async def test_a_message_of_somebody_else_stops_nobody(log: UserEventLog, server: "redis.Redis") -> None:
    writer = await log.open("c", fence=1)
    stopped: list[bool] = []

    async def work() -> None:
        await writer.stop_asked()
        stopped.append(True)

    async def asked(times: int) -> None:
        while calls(server, "hget") < times:  # noqa: ASYNC110  (the server tells nobody)
            await anyio.sleep(0.01)

    server.config_resetstat()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            for times in range(1, 5):
                await asked(times)
                assert calls(server, "hget") == times
                server.publish(f"{ROOT}:c:stop", "x")
            await asked(5)
            assert not stopped
            await log.ask_stop("c")
    assert stopped


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

    with anyio.fail_after(30):
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


async def test_a_reader_far_behind_gets_what_is_not_kept_in_this_process(
    log: UserEventLog, server: "redis.Redis"
) -> None:
    near, behind = log.follow("c"), log.follow("c")
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    await heard(near, 1)
    await heard(behind, 1)
    written = [letter * 100_000 for letter in "bcdef"]
    for text in written:
        await told(writer, text)
        assert texts(await heard(near, 1)) == [text]
    server.config_resetstat()
    assert texts(await heard(behind, 5)) == written
    assert calls(server, "evalsha") > 0
    await near.aclose()
    await behind.aclose()


async def test_an_event_that_is_too_large_to_be_kept_in_this_process_arrives(log: UserEventLog) -> None:
    writer = await log.open("c", fence=1)
    reader = log.follow("c")
    await told(writer, "a")
    await heard(reader, 1)
    await told(writer, "b" * 300_000)
    assert texts(await heard(reader, 1)) == ["b" * 300_000]
    await reader.aclose()


@pytest.mark.parametrize("shift", [-1000, 1000], ids=["the clock was set back", "it had expired"])
async def test_readers_are_told_when_ids_begin_anew(log: UserEventLog, server: "redis.Redis", shift: int) -> None:
    near, behind = log.follow("c"), log.follow("c")
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    await heard(behind, 1)
    await heard(near, 1)
    await told(writer, "b")
    await heard(near, 1)
    server.flushall()
    start = writer.standing.last + shift
    server.hset(f"{ROOT}:c:about", mapping={"start": start, "last": start, "mark": start})
    await told(await log.open("c", fence=1), "c")
    for reader in (near, behind):
        assert texts(await heard(reader, 1)) == ["reset"]
        assert texts(await heard(reader, 1)) == ["c"]
        await reader.aclose()


async def test_a_quiet_connection_is_tried(
    log: UserEventLog, server: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_feeds, "_QUIET", 0.01)
    reader = log.follow("c")
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    await heard(reader, 1)
    with anyio.fail_after(30):
        while [each["cmd"] for each in server.client_list(_type="pubsub")] != ["ping"]:  # noqa: ASYNC110  (the server tells nobody)
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


async def test_an_address_may_name_the_connection(url: str, server: "redis.Redis") -> None:
    log = RedisEventLog(f"{url}?client_name=assistant")
    with anyio.fail_after(30):
        await log.for_user("u").standing("c")
    assert "assistant" in {client["name"] for client in server.client_list()}
    await log.aclose()


ALLOWED = (
    "evalsha script|load subscribe unsubscribe ping publish time exists del pexpire hget hmget hset hdel zadd zrange"
    " zrem zremrangebyscore xadd xtrim xrange"
)


def permitted(server: "redis.Redis", url: str, allowed: str) -> RedisEventLog:
    """A log that may do no more than this."""
    rights = ["~assistant_kit:events:*", "&assistant_kit:events:*", "&assistant_kit:listener:*"]
    rights += [f"+{name}" for name in allowed.split()]
    server.execute_command("ACL", "SETUSER", "me", "reset", "on", ">secret", *rights)
    return RedisEventLog(url.replace("redis://", "redis://me:secret@"))


async def test_a_user_who_may_do_just_what_is_needed_can_do_all(
    url: str, server: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_feeds, "_QUIET", 0.01)
    whole = permitted(server, url, ALLOWED)
    log = whole.for_user("u")
    reader = log.follow("c")
    with anyio.fail_after(30):
        writer = await log.open("c", fence=1)
        await writer.append(events("a"), mark="before")
        assert texts(await heard(reader, 1)) == ["a"]
        await told(writer, "b")
        assert texts(await heard(reader, 1)) == ["b"]
        await log.ask_stop("c")
        await writer.stop_asked()
        await log.forget("c")
        assert texts(await heard(reader, 1)) == ["reset"]
        await told(writer, "c")
        await whole.erase_user("u")
    assert await log.read("c") == []
    await reader.aclose()
    await whole.aclose()


@pytest.mark.parametrize("missing", ["script|load", "evalsha"])
async def test_a_user_who_may_not_do_what_is_needed_is_an_error(url: str, server: "redis.Redis", missing: str) -> None:
    log = permitted(server, url, ALLOWED.replace(missing, ""))
    with pytest.raises(StoreUnavailable), anyio.fail_after(30):
        await log.for_user("u").standing("c")
    await log.aclose()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("redis", "assistant_kit.event_logs"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingDependency) as caught:
        __import__("assistant_kit.event_logs.redis")
    assert (caught.value.package, caught.value.extra) == ("redis", "redis")

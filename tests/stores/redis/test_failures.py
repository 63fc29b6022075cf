"""What becomes of the errors of a real server. None of redis-py's gets out."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from threading import Thread

import anyio
import pytest
import redis
import redis.exceptions

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable, UnreadableEntry
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.durability import Durability
from assistant_kit.stores.redis.failures import ADVICE
from assistant_kit.stores.redis.keys import roots, shard_of
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

OLD = "Error running script (call to f_36c5d7e2): @user_script:22: @user_script: 22: "
"""So Redis 6.2 begins to say what a script met with."""

ROOT = roots("assistant_kit")[shard_of("u")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of this file's own: its settings are changed."""
    with running_valkey(options={"--busy-reply-threshold": "10"}) as url:
        yield url


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
async def user(server: redis.Redis, url: str) -> AsyncIterator[UserStore]:
    del server
    store = RedisStore(url)
    yield store.for_user("u")
    with anyio.fail_after(30):
        await store.aclose()


def write(lease: Lease, at: int) -> Append:
    records = [NewRecord(record_id=f"r{at + 1}", kind="k", body=b"x" * 100, tokens=1)]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


async def opened(url: str, *, durability: Durability = "durable") -> None:
    store = RedisStore(url, durability=durability)
    try:
        with anyio.fail_after(30):
            await store.open()
    finally:
        await store.aclose()


async def test_a_server_that_does_not_run_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await opened(f"redis://127.0.0.1:{free_port()}/0")


async def test_a_host_that_has_no_name_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await opened("redis://no..host:6379/0")


async def test_a_wrong_password_is_told_and_never_shown() -> None:
    with running_valkey(options={"--requirepass": "right-one"}) as url:
        for wrong in (url, url.replace("//", "//:wrong-one@"), url.replace("//", "//somebody:wrong-one@")):
            with pytest.raises(StoreUnavailable) as caught:
                await opened(wrong)
            assert "wrong-one" not in f"{caught.value} {caught.value.__cause__} {RedisStore(wrong)!r}"
        await opened(url.replace("//", "//:right-one@"))


async def test_a_user_without_permission_is_told(server: redis.Redis, url: str) -> None:
    server.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~other:*", "+@all")

    with pytest.raises(StoreUnavailable):
        await opened(url.replace("//", "//poor:pw@"))


async def test_where_memory_is_full_nothing_is_written_and_things_can_be_given_up(
    server: redis.Redis, user: UserStore
) -> None:
    lease = await user.claim("c", owner="w", ttl=600)
    await user.append(write(lease, 0))
    server.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 1))
        with pytest.raises(StoreUnavailable):
            await user.claim("new", owner="w", ttl=600)
        assert [record.record_id for record in await user.read("c")] == ["r1"]
        assert [info.conversation for info in await user.conversations()] == ["c"]
        await user.release(lease)
        await user.delete("c")
    finally:
        server.config_set("maxmemory", 0)
    assert not await user.conversations()


async def test_a_server_that_cannot_save_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb" / "in the way").mkdir(parents=True)
    with (
        running_valkey(folder=tmp_path, options={"--save": "3600 1000000"}, stop=SIGKILL) as url,
        redis.Redis.from_url(url) as client,
    ):
        store = RedisStore(url)
        user = store.for_user("u")
        lease = await user.claim("c", owner="w", ttl=600)
        client.bgsave()
        with anyio.fail_after(30):
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110  (a child of the server saves)
                await anyio.sleep(0.01)

        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0))
        assert not await user.read("c")
        await store.aclose()


async def test_a_server_that_still_reads_its_data_is_unavailable_for_a_while(tmp_path: Path) -> None:
    port = free_port()
    with running_valkey(folder=tmp_path, port=port, append_only=False) as url, redis.Redis.from_url(url) as client:
        client.mset({f"key{n}": bytes(2000) for n in range(3000)})
        client.save()
    slow = {"--key-load-delay": "1000", "--loading-process-events-interval-bytes": "1024"}

    with running_valkey(folder=tmp_path, port=port, append_only=False, options=slow, loaded=False):
        with pytest.raises(StoreUnavailable) as caught:
            await opened(url, durability="volatile")

        assert isinstance(caught.value.__cause__, redis.exceptions.BusyLoadingError)


async def test_a_server_that_is_busy_with_a_script_of_somebody_is_busy(
    server: redis.Redis, url: str, user: UserStore
) -> None:
    lease = await user.claim("c", owner="w", ttl=600)

    def hang() -> None:
        with redis.Redis.from_url(url) as other, suppress(redis.RedisError):
            other.eval("while true do end", 0)

    async def keep_writing() -> None:
        while True:
            await user.append(write(lease, 0))

    hanging = Thread(target=hang)
    hanging.start()
    try:
        with anyio.fail_after(30), pytest.raises(StoreBusy):
            await keep_writing()
    finally:
        server.script_kill()
        hanging.join()
    await user.append(write(lease, 0))


async def test_a_server_that_does_not_answer_in_time_is_unavailable_until_it_does(
    server: redis.Redis, url: str
) -> None:
    store = RedisStore(url, timeout=0.3)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=600)
    server.client_pause(60_000, all=False)
    try:
        with anyio.fail_after(30), pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0))
    finally:
        server.client_unpause()

    await user.append(write(lease, 0))
    assert [record.record_id for record in await user.read("c")] == ["r1"]
    await store.aclose()


async def test_a_replica_is_unavailable(server: redis.Redis, url: str, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=600)
    server.replicaof("127.0.0.1", str(free_port()))
    try:
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0))
        with pytest.raises(StoreUnavailable):
            await opened(url)
    finally:
        server.replicaof("NO", "ONE")


async def test_too_few_replicas_are_unavailable(server: redis.Redis, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=600)
    server.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0))
    finally:
        server.config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize("key", [ROOT, f"{ROOT}:users", f"{ROOT}:state:open"])
async def test_keys_of_another_program_are_left_as_they_are(server: redis.Redis, url: str, key: str) -> None:
    server.set(key, "theirs")

    with pytest.raises(StoreCorrupt):
        await opened(url)

    assert server.get(key) == b"theirs"


async def test_a_hash_of_another_program_is_left_as_it_is(server: redis.Redis, url: str) -> None:
    server.hset(ROOT, "theirs", "1")

    with pytest.raises(StoreCorrupt):
        await opened(url)

    assert server.hgetall(ROOT) == {b"theirs": b"1"}


async def test_a_conversation_that_is_something_else_is_corrupt(server: redis.Redis, user: UserStore) -> None:
    server.set(f"{ROOT}:conversation:u:c", "theirs")

    with pytest.raises(StoreCorrupt):
        await user.claim("c", owner="w", ttl=60)
    with pytest.raises(StoreCorrupt):
        await user.read("c")

    assert server.get(f"{ROOT}:conversation:u:c") == b"theirs"


async def test_a_newer_layout_is_refused(server: redis.Redis, url: str, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    for root in roots("assistant_kit"):
        server.hset(root, "version", "2")

    with pytest.raises(StoreTooNew) as caught:
        await opened(url)
    with pytest.raises(StoreTooNew):  # also by a store that was open before the upgrade
        await user.append(write(lease, 0))

    assert (caught.value.found, caught.value.supported) == (2, 1)


@pytest.mark.parametrize("kind", ["records", "ids"])
async def test_a_journal_that_has_lost_a_key_is_not_written_on(server: redis.Redis, user: UserStore, kind: str) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0))
    (key,) = server.keys(f"{ROOT}:{kind}:*")
    server.delete(key)

    with pytest.raises(StoreCorrupt):
        await user.append(write(lease, 1))
    if kind == "records":
        with pytest.raises(StoreCorrupt):
            await user.read("c")


async def test_a_fork_that_has_lost_its_parent_is_corrupt(server: redis.Redis, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0))
    await user.fork("c", "d", at=1)
    server.delete(*server.keys(f"{ROOT}:segment:*"))

    with pytest.raises(StoreCorrupt):
        await user.read("d")


async def test_a_fork_of_lost_records_is_refused(server: redis.Redis, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0))
    server.delete(*server.keys(f"{ROOT}:records:*"))

    with pytest.raises(StoreCorrupt):
        await user.fork("c", "d", at=1)
    assert [info.conversation for info in await user.conversations()] == ["c"]


async def test_a_list_that_names_what_is_gone_is_corrupt(server: redis.Redis, user: UserStore) -> None:
    await user.claim("c", owner="w", ttl=60)
    server.delete(f"{ROOT}:conversation:u:c")

    with pytest.raises(StoreCorrupt):
        await user.conversations()


async def test_a_record_in_another_form_is_named(server: redis.Redis, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    for at in range(2):
        await user.append(write(lease, at))
    (key,) = server.keys(f"{ROOT}:records:*")
    server.lset(key, 1, "12 what is this")

    with pytest.raises(UnreadableEntry):
        await user.read("c")


async def test_flushed_scripts_are_loaded_again(server: redis.Redis, user: UserStore) -> None:
    lease = await user.claim("c", owner="w", ttl=60)
    server.script_flush()

    await user.append(write(lease, 0))

    assert len(await user.read("c")) == 1


async def test_after_all_data_was_flushed_a_store_begins_anew(server: redis.Redis, user: UserStore) -> None:
    await user.claim("c", owner="w", ttl=60)
    server.flushall()

    lease = await user.claim("c", owner="other", ttl=60)
    await user.append(write(lease, 0))

    assert len(await user.read("c")) == 1


async def test_a_cluster_without_its_slots_is_unavailable() -> None:
    options = {"--cluster-enabled": "yes", "--cluster-port": str(free_port())}

    with running_valkey(options=options) as url, pytest.raises(StoreUnavailable):
        await opened(url)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.exceptions.MovedError("1234 127.0.0.1:7001"), StoreUnavailable),
        (redis.exceptions.TryAgainError("Multiple keys request during rehashing of slot"), StoreUnavailable),
        (redis.exceptions.ResponseError("NOPROTO what is that"), StoreError),
        (redis.exceptions.ResponseError(f"{OLD}-OOM command not allowed when used memory"), StoreUnavailable),
        (
            redis.exceptions.ResponseError(f"{OLD}-READONLY You can't write against a read only replica"),
            StoreUnavailable,
        ),
        (redis.exceptions.ResponseError(f"{OLD}WRONGTYPE Operation against a key"), StoreCorrupt),
    ],
)
def test_other_answers_have_a_meaning(error: redis.RedisError, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "redis://host:6379/0")) is kind

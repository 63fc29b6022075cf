"""A server that dies, and connections that break: what was acknowledged is there, what was not may be written again."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL

import anyio
import anyio.to_thread
import pytest
import redis

from assistant_kit.errors import ConversationBusy, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores.redis import RedisStore
from tests.services.deaf_proxy import proxy_to
from tests.services.processes import free_port
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio


def write(lease: Lease, at: int) -> Append:
    records = [NewRecord(record_id=f"r{at + n}", kind="k", body=bytes(200), tokens=3) for n in (1, 2)]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


@pytest.mark.parametrize(("fsync", "records"), [("always", 400), ("everysec", 100)])
async def test_a_server_that_is_killed_loses_nothing_that_was_acknowledged(
    tmp_path: Path, fsync: str, records: int
) -> None:
    port = free_port()
    server = ExitStack()
    options = {"--appendfsync": fsync}
    url = server.enter_context(running_valkey(folder=tmp_path, port=port, options=options, stop=SIGKILL))
    store = RedisStore(url)
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=600) for n in range(10)]
    acknowledged = [0] * len(leases)
    enough = anyio.Event()

    async def append(n: int, lease: Lease) -> None:
        while True:
            try:
                await user.append(write(lease, acknowledged[n]))
            except StoreUnavailable:
                return
            acknowledged[n] += 2
            if sum(acknowledged) > records:
                enough.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, lease in enumerate(leases):
                tasks.start_soon(append, n, lease)
            await enough.wait()
            await anyio.to_thread.run_sync(server.close)

    with running_valkey(folder=tmp_path, port=port), anyio.fail_after(60):
        for n, lease in enumerate(leases):
            found = await user.read(f"c{n}")
            assert len(found) in (acknowledged[n], acknowledged[n] + 2)
            assert [record.record_id for record in found] == [f"r{at}" for at in range(1, len(found) + 1)]
            assert [record.total_tokens for record in found] == [3 * at for at in range(1, len(found) + 1)]
            await user.append(write(lease, acknowledged[n]))
            assert len(await user.read(f"c{n}")) == acknowledged[n] + 2
        await store.aclose()


async def test_a_store_connects_anew_when_its_server_was_restarted(tmp_path: Path) -> None:
    port = free_port()
    with running_valkey(folder=tmp_path, port=port, stop=SIGKILL) as url:
        store = RedisStore(url)
        user = store.for_user("u")
        lease = await user.claim("c", owner="w", ttl=600)
        await user.append(write(lease, 0))
        assert len(await user.read("c")) == 2

    with pytest.raises(StoreUnavailable):
        await user.append(write(lease, 2))
    with pytest.raises(StoreUnavailable):
        await user.read("c")

    with running_valkey(folder=tmp_path, port=port), anyio.fail_after(30):
        await user.append(write(lease, 2))
        assert len(await user.read("c")) == 4
        await store.aclose()


async def test_a_connection_that_was_closed_while_nobody_used_it_is_no_error(valkey_url: str) -> None:
    store = RedisStore(valkey_url, prefix="closed")
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=600)
    assert len(await user.read("c")) == 0

    with redis.Redis.from_url(valkey_url) as other:
        other.client_kill_filter(_type="normal", skipme=True)

    await user.append(write(lease, 0))
    assert len(await user.read("c")) == 2
    await user.erase()
    await store.aclose()


async def test_an_append_whose_acknowledgement_was_lost_is_recognised(valkey_url: str) -> None:
    with proxy_to(valkey_url) as proxy:
        store = RedisStore(proxy.url, prefix="lost")
        user = store.for_user("u")
        lease = await user.claim("c", owner="w", ttl=600)
        proxy.deaf = True
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0))
        proxy.deaf = False

        await user.append(write(lease, 0))

        assert [record.record_id for record in await user.read("c")] == ["r1", "r2"]
        await user.erase()
        await store.aclose()


async def test_a_claim_whose_acknowledgement_was_lost_holds_the_conversation_for_its_owner(valkey_url: str) -> None:
    begin = NewRecord(record_id="t1", kind="k", body=b"x")
    with proxy_to(valkey_url) as proxy:
        store = RedisStore(proxy.url, prefix="lost")
        user = store.for_user("u")
        await store.open()
        proxy.deaf = True
        with pytest.raises(StoreUnavailable):
            await user.claim("c", owner="w", ttl=600, begin=begin)
        proxy.deaf = False

        with pytest.raises(ConversationBusy):
            await user.claim("c", owner="other", ttl=600)
        again = await user.claim("c", owner="w", ttl=600, begin=begin)

        assert (again.begun, again.seq, again.state) == (False, 1, "open")
        await user.erase()
        await store.aclose()

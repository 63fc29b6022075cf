"""Claims that are taken back, as the store does when the task that made them was cancelled."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from assistant_kit.protocols.store import NewRecord
from assistant_kit.redis_address import Address
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.redis.client import Client
from assistant_kit.stores.redis.keys import roots
from assistant_kit.stores.redis.questions import Questions
from assistant_kit.stores.redis.server import Terms

pytestmark = pytest.mark.anyio

BEGIN = NewRecord(record_id="t1", kind="k", body=b"x", tokens=7)


@pytest.fixture
async def client(valkey_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    address = Address(valkey_url, timeout=10, of="RedisStore")
    client = Client(Terms(address=address, roots=roots(str(tmp_path)), durability="durable", audit=False, timeout=10))
    yield client
    with anyio.fail_after(30):
        await client.aclose()


@pytest.fixture
async def store(valkey_url: str, tmp_path: Path) -> AsyncIterator[RedisStore]:
    store = RedisStore(valkey_url, prefix=str(tmp_path))
    yield store
    with anyio.fail_after(30):
        await store.aclose()


async def test_a_claim_is_taken_back_although_its_answer_was_never_heard(
    client: Client, store: RedisStore, tmp_path: Path
) -> None:
    asking = Questions("u", roots(str(tmp_path)))
    await client.write(asking.claim("c", owner="w", ttl=60, begin=BEGIN, mark=b"mark"), str)
    await client.write(asking.undo_claim("c", begin=BEGIN, mark=b"mark"), str)

    lease = await store.for_user("u").claim("c", owner="other", ttl=60, begin=BEGIN)

    assert (lease.begun, lease.seq) == (True, 1)
    assert [record.total_tokens for record in await store.for_user("u").read("c")] == [7]


async def test_a_claim_of_somebody_else_is_not_taken_back(client: Client, store: RedisStore, tmp_path: Path) -> None:
    asking = Questions("u", roots(str(tmp_path)))
    lease = await store.for_user("u").claim("c", owner="w", ttl=60, begin=BEGIN)

    await client.write(asking.undo_claim("c", begin=BEGIN, mark=b"mark"), str)
    await client.write(asking.undo_claim("nowhere", begin=BEGIN, mark=b"mark"), str)

    await store.for_user("u").renew(lease, ttl=60)
    assert [record.record_id for record in await store.for_user("u").read("c")] == ["t1"]


async def test_a_turn_that_a_fork_shares_stays_when_its_claim_is_taken_back(
    client: Client, store: RedisStore, tmp_path: Path
) -> None:
    asking, user = Questions("u", roots(str(tmp_path))), store.for_user("u")
    await client.write(asking.claim("c", owner="w", ttl=60, begin=BEGIN, mark=b"mark"), str)
    await user.fork("c", "d", at=1)

    await client.write(asking.undo_claim("c", begin=BEGIN, mark=b"mark"), str)

    assert [record.record_id for record in await user.read("d")] == ["t1"]
    lease = await user.claim("c", owner="other", ttl=60)
    assert (lease.seq, lease.state) == (1, "open")

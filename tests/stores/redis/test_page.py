"""The code that docs/redis.md shows."""

import pytest

from assistant_kit.errors import StoreVolatile
from assistant_kit.stores.redis import RedisStore
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio


async def test_a_store_is_opened_and_closed(valkey_url: str) -> None:
    url = valkey_url
    # --8<-- [start:open]
    store = RedisStore(url, prefix="shop", durability="durable", audit=False, timeout=10.0)
    await store.open()  # or at the first use
    try:
        for info in await store.for_user("u1").conversations(limit=20):
            print(info.conversation, info.records, info.state)  # noqa: T201
    finally:
        await store.aclose()
    # --8<-- [end:open]


async def test_a_server_that_forgets_is_refused() -> None:
    with running_valkey(append_only=False) as url:
        # --8<-- [start:volatile]
        store = RedisStore(url)
        try:
            await store.open()
        except StoreVolatile as error:
            print(error.place, error.problem)  # noqa: T201
            store = RedisStore(url, durability="volatile")
        # --8<-- [end:volatile]

        await store.open()
        await store.aclose()

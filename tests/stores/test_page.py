"""The code that docs/stores.md shows."""

from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import ConversationBusy
from assistant_kit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


async def test_a_store_is_opened_listed_and_closed(tmp_path: Path) -> None:
    # --8<-- [start:list]
    store = SQLiteStore(tmp_path / "chat.db", synchronous="FULL", busy_timeout=20.0)
    try:
        for info in await store.for_user("u1").conversations(limit=20):
            print(info.conversation, info.records, info.state)  # noqa: T201
    finally:
        await store.aclose()
    # --8<-- [end:list]


async def test_a_held_conversation_says_when_to_try_again(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    journals = store.for_user("u1")
    held = await journals.claim("c1", owner="worker-1", ttl=0.05)

    with anyio.fail_after(30):
        # --8<-- [start:busy]
        while True:
            try:
                lease = await journals.claim("c1", owner="worker-2", ttl=30.0)
                break
            except ConversationBusy as busy:
                await anyio.sleep(busy.retry_after)
        # --8<-- [end:busy]

    assert lease.fence > held.fence
    await store.aclose()

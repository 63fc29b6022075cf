from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from assistant_kit.protocols.store import Append, NewRecord, Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.conformance.store import StoreConformance

# --8<-- [start:suite]
pytestmark = pytest.mark.anyio


class TestMemoryStore(StoreConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (memory has no place)
        return MemoryStore(clock=lambda: self.now)

    async def advance(self, seconds: float) -> None:
        self.now += seconds


# --8<-- [end:suite]


async def test_threads_and_event_loops_share_a_store() -> None:
    store = MemoryStore()

    async def converse(name: str) -> None:
        user = store.for_user("u")
        for n in range(300):
            lease = await user.claim(name, owner=name, ttl=60)
            record = NewRecord(record_id=f"r{n}", kind="k", body=b"x", tokens=1)
            await user.append(
                Append(lease=lease, expected_seq=n, records=[record], state="idle", open_turn=None, release=True)
            )
            await user.conversations()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, backend in enumerate(["asyncio", "trio"] * 2):
                tasks.start_soon(
                    anyio.to_thread.run_sync, lambda b=backend, n=n: anyio.run(converse, f"c{n}", backend=b)
                )

    listed = await store.for_user("u").conversations()
    assert {info.conversation: info.records for info in listed} == {f"c{n}": 300 for n in range(4)}
    assert len({info.updated_at for info in listed}) == 4

from pathlib import Path

import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.conformance.store_contention import StoreContention
from assistant_kit.testing.conformance.store_leases import StoreLeases

pytestmark = pytest.mark.anyio


class TestAStoreWhoseClockCannotBeSet(StoreLeases, StoreContention):
    ttl = 0.05

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (memory has no place)
        return MemoryStore()

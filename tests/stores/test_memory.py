from pathlib import Path

import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.conformance.store import StoreConformance


@pytest.mark.anyio
class TestMemoryStore(StoreConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (memory has no place)
        return MemoryStore(clock=lambda: self.now)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

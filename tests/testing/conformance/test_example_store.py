from pathlib import Path
from typing import ClassVar

import pytest

from assistant_kit.testing.conformance.store import StoreConformance
from tests.testing.conformance.json_store import JSONStore


# --8<-- [start:suite]
@pytest.mark.anyio
class TestJSONStore(StoreConformance):
    turns: ClassVar[int] = 1  # each write of this store waits for the disk alone
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> JSONStore:
        return JSONStore(folder, clock=lambda: self.now)

    async def advance(self, seconds: float) -> None:
        self.now += seconds


# --8<-- [end:suite]

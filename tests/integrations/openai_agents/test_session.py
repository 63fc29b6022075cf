"""Sessions on the store in memory, on both event loops."""

from pathlib import Path

import pytest

from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from tests.integrations.openai_agents.session_cases import SessionCases

pytestmark = pytest.mark.anyio


class TestInMemory(SessionCases):
    async def open_store(self, folder: Path) -> Store:  # noqa: ARG002  (memory has no place)
        return MemoryStore()

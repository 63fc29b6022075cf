from pathlib import Path

import pytest

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from assistant_kit.protocols.artifact_store import ArtifactStore
from assistant_kit.testing.conformance.artifact_store import ArtifactStoreConformance

pytestmark = pytest.mark.anyio


class TestMemoryArtifactStore(ArtifactStoreConformance):
    durable = False

    async def open_store(self, folder: Path) -> ArtifactStore:  # noqa: ARG002  (memory has no place)
        return MemoryArtifactStore()


def test_an_address_stands_for_it() -> None:
    assert isinstance(make_artifact_store("memory:"), MemoryArtifactStore)

"""The suite of every artifact store, around each of ours."""

from pathlib import Path

import pytest

from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from assistant_kit.artifact_stores.s3 import S3ArtifactStore
from assistant_kit.protocols.artifact_store import ArtifactStore
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.testing.conformance.artifact_store import ArtifactStoreConformance, place_name
from tests.artifact_stores.s3_place import s3_store
from tests.services.s3 import S3Server

pytestmark = pytest.mark.anyio

KEYS = MasterKeys({"2026-11": bytes(range(32))})


class TestAroundMemory(ArtifactStoreConformance):
    durable = False

    async def open_store(self, folder: Path) -> ArtifactStore:  # noqa: ARG002  (memory has no place)
        return EncryptedArtifactStore(MemoryArtifactStore(), KEYS)


class TestAroundAFolder(ArtifactStoreConformance):
    async def open_store(self, folder: Path) -> ArtifactStore:
        return EncryptedArtifactStore(FolderArtifactStore(folder / "files"), KEYS)


class TestAroundS3(ArtifactStoreConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        """One event loop: the wrapped store passes the suite on both, and its client works in threads."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server) -> None:
        self.server = s3_server

    async def open_store(self, folder: Path) -> ArtifactStore:
        return EncryptedArtifactStore(S3ArtifactStore(s3_store(self.server, place_name(folder))), KEYS)

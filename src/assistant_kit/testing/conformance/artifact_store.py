"""The suite that every artifact store passes."""

from assistant_kit.testing.conformance.artifact_store_isolation import ArtifactStoreIsolation
from assistant_kit.testing.conformance.artifact_store_puts import ArtifactStorePuts
from assistant_kit.testing.conformance.artifact_store_reads import ArtifactStoreReads
from assistant_kit.testing.conformance.index_workbench import place_name

__all__ = ["ArtifactStoreConformance", "place_name"]


class ArtifactStoreConformance(ArtifactStorePuts, ArtifactStoreReads, ArtifactStoreIsolation):
    """What `protocols/artifact_store.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyStore(ArtifactStoreConformance):
            async def open_store(self, folder: Path) -> ArtifactStore:
                return MyStore(folder / "files")

    A place on a server is named by `place_name(folder)`. Set `durable = False` for a store that ends with its object.
    """

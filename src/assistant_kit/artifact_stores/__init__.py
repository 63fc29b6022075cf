"""Places for files, behind `protocols.artifact_store`; a backend's module is loaded when its address is used."""

from typing import Final

from assistant_kit.protocols.artifact_store import ArtifactStore
from assistant_kit.registry import make_at

PLACES: Final = {
    "file:": ("assistant_kit.artifact_stores.folder", "FolderArtifactStore"),
    "s3:": ("assistant_kit.artifact_stores.s3", "S3ArtifactStore"),
}
"""Schemes of addresses such as `s3://bucket/prefix`."""

_MEMORY: Final = ("assistant_kit.artifact_stores.memory", "MemoryArtifactStore")


def make_artifact_store(address: str) -> ArtifactStore:
    """Return the store that an address stands for: `file:///folder`, `s3://bucket/prefix`, `memory:`.

    Nothing is opened yet. Raises UnknownStore, ConfigurationError, MissingDependency.
    """
    return make_at(address, PLACES, _MEMORY)

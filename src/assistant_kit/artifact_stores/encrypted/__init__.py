"""Encryption at rest around any artifact store; docs/artifacts.md says what it hides and what it does not."""

from assistant_kit.artifact_stores.encrypted.store import EncryptedArtifactStore

__all__ = ["EncryptedArtifactStore"]

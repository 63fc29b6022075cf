"""Encryption at rest around any store; docs/encryption.md says what it hides and what it does not."""

from assistant_kit.stores.encrypted.master_keys import MasterKeys
from assistant_kit.stores.encrypted.store import EncryptedStore

__all__ = ["EncryptedStore", "MasterKeys"]

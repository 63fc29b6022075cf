"""Journals in the memory of this process: for tests, for trying things out, and for conversations that may be lost."""

from assistant_kit.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]

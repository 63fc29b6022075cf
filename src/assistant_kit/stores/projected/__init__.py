"""Rows of the application's own, written in the transactions of a store; docs/stores.md says what they are good for."""

from assistant_kit.stores.projected.said import Said, said
from assistant_kit.stores.projected.store import ProjectedStore

__all__ = ["ProjectedStore", "Said", "said"]

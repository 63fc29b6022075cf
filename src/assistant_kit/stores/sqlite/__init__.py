"""Journals in one SQLite file: for one machine, with nothing to set up."""

from assistant_kit.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]

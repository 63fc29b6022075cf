"""Passages in one SQLite file, found by FTS5 and sqlite-vec. Needs the extra `vector`."""

from assistant_kit.errors import MissingDependency

try:
    import apsw as apsw  # all modules of this package need it
except ImportError as _missing:
    raise MissingDependency("apsw", "vector") from _missing
try:
    import sqlite_vec as sqlite_vec  # pyright: ignore[reportMissingTypeStubs]
except ImportError as _missing:
    raise MissingDependency("sqlite-vec", "vector") from _missing

from assistant_kit.indexes.sqlite.index import SQLiteIndex

__all__ = ["SQLiteIndex"]

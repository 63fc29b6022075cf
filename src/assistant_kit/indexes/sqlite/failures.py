"""What SQLite's errors mean to somebody who keeps passages in a file."""

import sqlite3
from collections.abc import Mapping
from typing import Final

import apsw

from assistant_kit.errors import StoreError
from assistant_kit.sqlite_file import Advice

_LOOK_AT_DISK: Final = "look at the disk; nothing that was acknowledged is lost, and writing again is safe"

_ADVICE: Final = Advice(
    full=f"the disk is full; {_LOOK_AT_DISK}",
    failing=f"reading or writing failed; {_LOOK_AT_DISK}",
    damaged="the index is damaged: put back a backup, or delete it and put everything into a new one",
)

_CODES: Final[Mapping[type[Exception], int]] = {
    apsw.BusyError: sqlite3.SQLITE_BUSY,
    apsw.LockedError: sqlite3.SQLITE_LOCKED,
    apsw.CantOpenError: sqlite3.SQLITE_CANTOPEN,
    apsw.ReadOnlyError: sqlite3.SQLITE_READONLY,
    apsw.FullError: sqlite3.SQLITE_FULL,
    apsw.IOError: sqlite3.SQLITE_IOERR,
    apsw.NotADBError: sqlite3.SQLITE_NOTADB,
    apsw.CorruptError: sqlite3.SQLITE_CORRUPT,
    # The statements do not change: it is the tables that are not as they were made.
    apsw.SQLError: sqlite3.SQLITE_CORRUPT,
    UnicodeDecodeError: sqlite3.SQLITE_CORRUPT,
}
"""SQLite's codes for what apsw raises, in words that Python's own module has for them."""

FOREIGN: Final = (apsw.Error, UnicodeDecodeError)
"""What apsw raises; it decodes texts as UTF-8, which those of a damaged file may not be."""


def store_error(error: Exception, path: str) -> StoreError:
    """Return what an error of SQLite is in our tree. Raise it `from` the error."""
    kind, advice = _ADVICE.meaning(_CODES.get(type(error), sqlite3.SQLITE_ERROR))
    return kind(f"{path}: {error}: {advice}")

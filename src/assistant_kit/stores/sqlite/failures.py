"""What SQLite's errors mean to somebody who keeps journals in a file."""

import sqlite3
from typing import Final

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

_TRY_AGAIN: Final = "another process has been writing to it for too long: try again, or allow a longer busy_timeout"
_LOOK_AT_DISK: Final = "look at the disk; nothing that was acknowledged is lost, and writing again is safe"

_MEANINGS: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, _TRY_AGAIN),
    sqlite3.SQLITE_LOCKED: (StoreBusy, _TRY_AGAIN),
    sqlite3.SQLITE_CANTOPEN: (
        StoreUnavailable,
        "make the folder first, and see that it and the file are writable and that the path is no folder itself",
    ),
    sqlite3.SQLITE_READONLY: (StoreUnavailable, "make the file and its folder writable for this process"),
    sqlite3.SQLITE_PERM: (StoreUnavailable, "make the file and its folder writable for this process"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, f"the disk is full; {_LOOK_AT_DISK}"),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, f"reading or writing failed; {_LOOK_AT_DISK}"),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "it is no SQLite database; give another path. It was left as it is"),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupt,
        "the database is damaged; put back a backup, or save what can be read with `sqlite3 FILE .recover`",
    ),
}
"""By SQLite's primary result code (https://sqlite.org/rescode.html)."""


FOREIGN: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's module raises: messages of SQLite quote what is damaged, and the module decodes them as UTF-8."""


def damaged(what: str) -> sqlite3.DatabaseError:
    """Return what SQLite would raise if it looked at the types of what it reads from a strict table."""
    error = sqlite3.DatabaseError(f"{what} has values of types that its table does not allow")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def store_error(error: sqlite3.Error | UnicodeDecodeError, path: str) -> StoreError:
    """Return what an error of SQLite is in our tree. Raise it `from` the error."""
    if isinstance(error, UnicodeDecodeError):
        return StoreCorrupt(f"{path}: {error.object!r}: {_MEANINGS[sqlite3.SQLITE_CORRUPT][1]}")
    # Errors of the Python module itself have no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    kind, advice = _MEANINGS.get(code & 0xFF, (StoreError, "SQLite refused this; please report it"))
    return kind(f"{path}: {error}: {advice}")

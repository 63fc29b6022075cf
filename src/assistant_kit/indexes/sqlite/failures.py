"""What SQLite's errors mean to somebody who keeps passages in a file."""

from typing import Final

import apsw

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

_LOOK_AT_DISK: Final = "look at the disk; nothing that was acknowledged is lost, and writing again is safe"
_DAMAGED: Final = "the index is damaged: put back a backup, or delete it and put everything into a new one"

_MEANINGS: Final[dict[type[Exception], tuple[type[StoreError], str]]] = {
    apsw.BusyError: (
        StoreBusy,
        "another process has been writing to it for too long: try again, or allow a longer busy_timeout",
    ),
    apsw.LockedError: (StoreBusy, "it is being changed: try again"),
    apsw.CantOpenError: (
        StoreUnavailable,
        "make the folder first, and see that it and the file are writable and that the path is no folder itself",
    ),
    apsw.ReadOnlyError: (StoreUnavailable, "make the file and its folder writable for this process"),
    apsw.FullError: (StoreUnavailable, f"the disk is full; {_LOOK_AT_DISK}"),
    apsw.IOError: (StoreUnavailable, f"reading or writing failed; {_LOOK_AT_DISK}"),
    apsw.NotADBError: (StoreCorrupt, "it is no SQLite database; give another path. It was left as it is"),
    apsw.CorruptError: (StoreCorrupt, _DAMAGED),
    # The statements do not change: it is the tables that are not as they were made.
    apsw.SQLError: (StoreCorrupt, _DAMAGED),
    UnicodeDecodeError: (StoreCorrupt, _DAMAGED),
}

FOREIGN: Final = (apsw.Error, UnicodeDecodeError)
"""What apsw raises; it decodes texts as UTF-8, which those of a damaged file may not be."""


def store_error(error: Exception, path: str) -> StoreError:
    """Return what an error of SQLite is in our tree. Raise it `from` the error."""
    kind, advice = _MEANINGS.get(type(error), (StoreError, "SQLite refused this; please report it"))
    return kind(f"{path}: {error}: {advice}")

"""Erasing a user: from the tables, and from the bytes of the file.

`PRAGMA secure_delete` overwrites what is deleted, but not the copies that SQLite has left in the unused space of a page
when it moved rows to another one. Only a file that is written anew has none of them.
"""

import sqlite3
from typing import Final

from assistant_kit.errors import StoreBusy
from assistant_kit.stores.sqlite import chain
from assistant_kit.stores.sqlite.segments import let_go, retire

_FIND_ALL: Final = "SELECT segment, fence FROM conversations WHERE user = ?"
_DELETE_ALL: Final = "DELETE FROM conversations WHERE user = ?"
_TRACES: Final = "SELECT traces FROM store"
_LEAVE_TRACES: Final = "UPDATE store SET traces = traces + 1"
_NO_TRACES: Final = "UPDATE store SET traces = 0 WHERE traces = ?"


def erase(connection: sqlite3.Connection, user: str, at: float) -> int:
    """Delete all of a user from the tables, in a transaction, and return the number of conversations."""
    found = connection.execute(_FIND_ALL, (user,)).fetchall()
    connection.execute(_DELETE_ALL, (user,))
    for segment, fence in found:
        retire(connection, segment, fence)
        let_go(connection, segment)
    chained = chain.exists(connection, user) or (found and chain.is_kept(connection))
    if chained:
        chain.erase(connection, user, at)
    if found or chained:
        connection.execute(_LEAVE_TRACES)
    return len(found)


def scrub(connection: sqlite3.Connection, *, path: str) -> None:
    """Write the file anew if erased users have left traces, outside of a transaction.

    Costs what copying the file costs, in time and in space on the disk. Raises StoreBusy when somebody reads the file
    for so long that the log beside it cannot be emptied, and sqlite3.Error.
    """
    (traces,) = connection.execute(_TRACES).fetchone()
    if not traces:
        return
    connection.execute("VACUUM")
    (kept_back, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if kept_back:
        raise StoreBusy(
            f"{path}: all is deleted, but somebody reads the file, so that deleted text still stands in the log beside "
            "it: erase again when nobody does"
        )
    connection.execute(_NO_TRACES, (traces,))

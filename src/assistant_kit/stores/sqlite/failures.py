"""What SQLite's errors mean to somebody who keeps journals in a file."""

import sqlite3
from typing import Final

from assistant_kit.sqlite_file import Advice

_LOOK_AT_DISK: Final = "look at the disk; nothing that was acknowledged is lost, and writing again is safe"

ADVICE: Final = Advice(
    full=f"the disk is full; {_LOOK_AT_DISK}",
    failing=f"reading or writing failed; {_LOOK_AT_DISK}",
    damaged="the database is damaged; put back a backup, or save what can be read with `sqlite3 FILE .recover`",
)


def damaged(what: str) -> sqlite3.DatabaseError:
    """Return what SQLite would raise if it looked at the types of what it reads from a strict table."""
    error = sqlite3.DatabaseError(f"{what} has values of types that its table does not allow")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error

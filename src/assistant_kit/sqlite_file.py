"""What all SQLite files of ours have in common: addresses, whose they are, how they are opened, what errors mean."""

import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

from assistant_kit.errors import (
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    UnknownStore,
)

_LOCKED_PAUSE: Final = 0.01  # seconds between attempts where SQLite does not wait by itself
_TRY_AGAIN: Final = "another process has been writing to it for too long: try again, or allow a longer busy_timeout"
_CANNOT_OPEN: Final = (
    "make the folder first, and see that it and the file are writable and that the path is no folder itself"
)
_NOT_WRITABLE: Final = "make the file and its folder writable for this process"

FOREIGN: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's module raises: messages of SQLite quote what is damaged, and the module decodes them as UTF-8."""


SCHEME: Final = "sqlite:///"


def path_in(address: str, *, instead: str) -> str:
    """Return the path in `sqlite:///relative.db` or `sqlite:////absolute/path.db`; `%20` and its like stand for others.

    `instead` says what to do where somebody wants to give options. Raises UnknownStore, ConfigurationError.
    """
    if not address.startswith(SCHEME):
        raise UnknownStore(address, [SCHEME])
    path = address.removeprefix(SCHEME)
    if "?" in path:
        raise ConfigurationError(f"{address!r} has options: {instead}; a '?' in a path is '%3F'")
    return unquote(path)


class Rows(Protocol):
    """What a statement returns: sqlite3's cursors and apsw's."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...


class Statements(Protocol):
    """A connection, of sqlite3 or of apsw."""

    def execute(self, statement: str, /) -> Rows:
        """Execute a statement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do about errors, in the words of one use: of a `full` disk, of one that fails, of a `damaged` file."""

    full: str
    failing: str
    damaged: str

    def store_error(self, error: sqlite3.Error | UnicodeDecodeError, path: str) -> StoreError:
        """Return what an error of SQLite is in our tree. Raise it `from` the error."""
        if isinstance(error, UnicodeDecodeError):
            return StoreCorrupt(f"{path}: {error.object!r}: {self.damaged}")
        # Errors of the Python module itself have no code.
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        kind, advice = self.meaning(code & 0xFF)
        return kind(f"{path}: {error}: {advice}")

    def meaning(self, code: int) -> tuple[type[StoreError], str]:
        """Return what a primary result code means (https://sqlite.org/rescode.html)."""
        meanings: dict[int, tuple[type[StoreError], str]] = {
            sqlite3.SQLITE_BUSY: (StoreBusy, _TRY_AGAIN),
            sqlite3.SQLITE_LOCKED: (StoreBusy, _TRY_AGAIN),
            sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, _CANNOT_OPEN),
            sqlite3.SQLITE_READONLY: (StoreUnavailable, _NOT_WRITABLE),
            sqlite3.SQLITE_PERM: (StoreUnavailable, _NOT_WRITABLE),
            sqlite3.SQLITE_FULL: (StoreUnavailable, self.full),
            sqlite3.SQLITE_IOERR: (StoreUnavailable, self.failing),
            sqlite3.SQLITE_NOTADB: (StoreCorrupt, "it is no SQLite database; give another path. It was left as it is"),
            sqlite3.SQLITE_CORRUPT: (StoreCorrupt, self.damaged),
        }
        return meanings.get(code, (StoreError, "SQLite refused this; please report it"))


def version_of(connection: Statements, path: str, *, application: int, newest: int, shared: bool = False) -> int:
    """Return the version of the schema, 0 for an empty file. Raises StoreCorrupt, StoreTooNew.

    With `shared`, also 0 for a file with tables of a program that has not marked it as its own.
    """
    found, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if found != application and (found, version, 0 if shared else tables) != (0, 0, 0):
        raise StoreCorrupt(f"{path} is the database of another program: give another path. It was left as it is")
    if version > newest:
        raise StoreTooNew(path, found=version, supported=newest)
    return version


def switch_to_wal(
    connection: Statements, busy_timeout: float, *, locked: type[Exception] = sqlite3.OperationalError
) -> None:
    """Let readers and a writer work side by side. The mode stays with the file.

    `locked` is what the module raises, among others, while another connection has the file.
    """
    give_up = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except locked as error:
            # SQLite does not wait here while another process does the same, to avoid a deadlock.
            code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY)
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_LOCKED_PAUSE)
        else:
            return

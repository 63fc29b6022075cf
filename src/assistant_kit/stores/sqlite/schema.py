"""The tables of a journal file, how they came to be, and how a connection is opened."""

import sqlite3
import time
from typing import Final, Literal, TypeAlias

from assistant_kit.errors import StoreCorrupt, StoreTooNew

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

APPLICATION_ID: Final = 0x616B6974
"""`akit`: says in the file's header whose database this is (`PRAGMA application_id`)."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE conversations (
            key INTEGER PRIMARY KEY,
            user TEXT NOT NULL,
            conversation TEXT NOT NULL,
            fence INTEGER NOT NULL,
            lease_owner TEXT,
            lease_until REAL NOT NULL,
            seq INTEGER NOT NULL DEFAULT 0,
            total_tokens INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL DEFAULT 'idle',
            open_turn INTEGER,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            UNIQUE (user, conversation)
        ) STRICT
        """,
        "CREATE INDEX conversations_by_change ON conversations (user, updated_at)",
        # `place` is conversation * 2**32 + seq: the records of a conversation lie side by side in one tree.
        """
        CREATE TABLE records (
            place INTEGER PRIMARY KEY,
            conversation INTEGER NOT NULL,
            record_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            body BLOB NOT NULL,
            tokens INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            fence INTEGER NOT NULL,
            at REAL NOT NULL,
            UNIQUE (conversation, record_id)
        ) STRICT
        """,
        # The highest fence that was ever deleted: a conversation made anew begins above it.
        "CREATE TABLE deleted (fence INTEGER NOT NULL) STRICT",
        "INSERT INTO deleted (fence) VALUES (0)",
    ),
)
"""The steps from each version of the schema (`PRAGMA user_version`) to the next. Only ever added to."""

_LOCKED_PAUSE: Final = 0.01  # seconds between attempts where SQLite does not wait by itself


def open_connection(path: str, *, synchronous: Synchronous, busy_timeout: float) -> sqlite3.Connection:
    """Open a journal file, making or upgrading it when needed.

    A file that is not ours is left as it is. Raises StoreCorrupt, StoreTooNew, sqlite3.Error.
    """
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        if _version(connection, path) < len(MIGRATIONS):
            _switch_to_wal(connection, busy_timeout)
            _migrate(connection, path)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the schema, 0 for an empty file. Raises StoreCorrupt, StoreTooNew."""
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if application != APPLICATION_ID and (application, version, tables) != (0, 0, 0):
        raise StoreCorrupt(f"{path} is the database of another program: give another path. It was left as it is")
    if version > len(MIGRATIONS):
        raise StoreTooNew(path, found=version, supported=len(MIGRATIONS))
    return version


def _switch_to_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Let readers and a writer work side by side. The mode stays with the file."""
    give_up = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here while another process does the same, to avoid a deadlock.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_LOCKED_PAUSE)
        else:
            return


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema to the newest version, in one transaction. Another process may have done so meanwhile."""
    connection.execute("BEGIN IMMEDIATE")  # undone by closing the connection if any of this fails
    for step in MIGRATIONS[_version(connection, path) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")

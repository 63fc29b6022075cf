"""The tables of an index file, how they came to be, and how a connection is opened."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

import apsw
import sqlite_vec  # pyright: ignore[reportMissingTypeStubs]

from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.sqlite_file import switch_to_wal, version_of

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

APPLICATION_ID: Final = 0x616B6978
"""`akix`: says in the file's header whose database this is (`PRAGMA application_id`)."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # One row. What the vectors are, `dimensions` being 0 before the first; how many passages there are; how many
        # erased owners may have left traces in the bytes of the file.
        """
        CREATE TABLE store (
            embedder TEXT NOT NULL,
            dimensions INTEGER NOT NULL,
            passages INTEGER NOT NULL,
            traces INTEGER NOT NULL
        ) STRICT
        """,
        "INSERT INTO store (embedder, dimensions, passages, traces) VALUES ('', 0, 0, 0)",
        # An owner stays until erased: bytes of what was deleted may still be there.
        """
        CREATE TABLE owners (
            owner INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            passages INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        """
        CREATE TABLE passages (
            passage INTEGER PRIMARY KEY,
            owner INTEGER NOT NULL,
            id TEXT NOT NULL,
            text TEXT NOT NULL,
            source TEXT NOT NULL,
            at REAL NOT NULL,
            labels TEXT NOT NULL,
            UNIQUE (owner, id)
        ) STRICT
        """,
        "CREATE INDEX passages_by_source ON passages (owner, source)",
        "CREATE INDEX passages_by_time ON passages (owner, at)",
        # `value` is JSON, so that 1, true and "1" differ.
        """
        CREATE TABLE labels (
            owner INTEGER NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            passage INTEGER NOT NULL,
            PRIMARY KEY (owner, name, value, passage)
        ) WITHOUT ROWID, STRICT
        """,
        "CREATE INDEX labels_by_passage ON labels (passage)",
        # Words are cut and folded before they come here, and each begins with its owner's number: a search reads
        # nothing of others. All that is not ASCII belongs to a word for this tokenizer.
        "CREATE VIRTUAL TABLE words USING fts5(body, tokenize = 'ascii')",
        "CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row)",
    ),
)
"""The steps from each version of the schema (`PRAGMA user_version`) to the next. Only ever added to."""

CHUNK: Final = 64
"""Vectors that are stored together. An owner takes the room of one chunk at least; larger ones are not faster."""

VECTORS: Final = (
    "CREATE VIRTUAL TABLE vectors USING vec0("
    "owner INTEGER PARTITION KEY, embedding FLOAT[{}] distance_metric=cosine, chunk_size={})"
)
"""Made with the first vector, which settles their length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How each connection to a file is set up. `busy_timeout` is in seconds."""

    synchronous: Synchronous = "FULL"
    busy_timeout: float = 20.0


def open_connection(path: str, setup: Setup) -> Connection:
    """Open an index file, making or upgrading it when needed.

    A file that is not ours is left as it is. Raises StoreCorrupt, StoreTooNew, apsw.Error.
    """
    connection = apsw.Connection(path)
    try:
        _load(connection, setup)
        _prepare(cast("Connection", connection), path, setup)
    except BaseException:
        connection.close()
        raise
    return cast("Connection", connection)


def _load(connection: apsw.Connection, setup: Setup) -> None:
    connection.set_busy_timeout(int(setup.busy_timeout * 1000))
    connection.enable_load_extension(enable=True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(enable=False)


def _prepare(connection: Connection, path: str, setup: Setup) -> None:
    if _version(connection, path) < len(MIGRATIONS):
        switch_to_wal(connection, setup.busy_timeout, locked=apsw.BusyError)
        _migrate(connection, path)
    connection.execute(f"PRAGMA synchronous = {setup.synchronous}")
    # What is deleted is overwritten with zeros. It does not find all of it: `erasure` does.
    connection.execute("PRAGMA secure_delete = ON")


def _version(connection: Connection, path: str) -> int:
    """Return the version of the schema, 0 for an empty file. Raises StoreCorrupt, StoreTooNew."""
    return version_of(connection, path, application=APPLICATION_ID, newest=len(MIGRATIONS))


def _migrate(connection: Connection, path: str) -> None:
    """Bring the schema to the newest version, in one transaction. Another process may have done so meanwhile."""
    connection.execute("BEGIN IMMEDIATE")  # undone by closing the connection if any of this fails
    for step in MIGRATIONS[_version(connection, path) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")

"""The tables of a journal file, how they came to be, and how a connection is opened."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

from assistant_kit.errors import StoreCorrupt
from assistant_kit.sqlite_file import switch_to_wal, version_of

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
    (
        # Records belong to a segment, which forks and rewound conversations share. A conversation's own segment, where
        # new records go, is what was its key; `base` of its records stand in segments further up.
        "ALTER TABLE conversations RENAME COLUMN key TO segment",
        "ALTER TABLE records RENAME COLUMN conversation TO segment",
        "ALTER TABLE conversations ADD COLUMN base INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE conversations ADD COLUMN title TEXT NOT NULL DEFAULT ''",
        # What it was forked from: by this a repeated fork is recognised.
        "ALTER TABLE conversations ADD COLUMN origin TEXT",
        # The state alone: a write in the middle of a turn leaves this index as it is.
        "CREATE INDEX conversations_unfinished ON conversations (state) WHERE state <> 'idle'",
        # The first `base` records that are seen from a segment are those seen from its parent.
        """
        CREATE TABLE segments (
            segment INTEGER PRIMARY KEY,
            parent INTEGER NOT NULL,
            base INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX segments_by_parent ON segments (parent, base)",
        # One row: the highest fence and the highest segment that were ever given up, whether an audit log is kept, and
        # how many erased users may have left traces in the bytes of the file.
        """
        CREATE TABLE store (
            fence INTEGER NOT NULL,
            segment INTEGER NOT NULL,
            audit INTEGER NOT NULL,
            traces INTEGER NOT NULL
        ) STRICT
        """,
        "INSERT INTO store (fence, segment, audit, traces) SELECT fence, 0, 0, 0 FROM deleted",
        "DROP TABLE deleted",
        # The audit chain of each user with its last link.
        """
        CREATE TABLE chains (
            chain INTEGER PRIMARY KEY,
            user TEXT NOT NULL UNIQUE,
            n INTEGER NOT NULL,
            link BLOB NOT NULL
        ) STRICT
        """,
        # `place` is chain * 2**32 + n.
        """
        CREATE TABLE audit (
            place INTEGER PRIMARY KEY,
            at_us INTEGER NOT NULL,
            payload BLOB,
            salt BLOB,
            digest BLOB NOT NULL,
            link BLOB NOT NULL
        ) STRICT
        """,
    ),
)
"""The steps from each version of the schema (`PRAGMA user_version`) to the next. Only ever added to."""

TABLES: Final = frozenset({"conversations", "records", "segments", "store", "chains", "audit"})
"""The tables of the newest version."""

C = TypeVar("C", bound=sqlite3.Connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How each connection to a file is set up. `audit` turns the audit log on, and nothing turns it off.

    A file is `shared` with the tables of the application.
    """

    synchronous: Synchronous = "FULL"
    busy_timeout: float = 20.0
    audit: bool = False
    shared: bool = False


def open_connection(path: str, setup: Setup, factory: type[C] = sqlite3.Connection) -> C:
    """Open a journal file, making or upgrading it when needed. Only one thread at a time may use the connection.

    A file that is not ours is left as it is. Raises StoreCorrupt, StoreTooNew, sqlite3.Error.
    """
    connection = sqlite3.connect(
        path, timeout=setup.busy_timeout, isolation_level=None, check_same_thread=False, factory=factory
    )
    try:
        prepare(connection, path, setup)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: str, setup: Setup) -> None:
    """Make a connection to the file `path` ready for use. Raises as `open_connection`."""
    if _version(connection, path, setup) < len(MIGRATIONS):
        switch_to_wal(connection, setup.busy_timeout)
        _migrate(connection, path, setup)
    connection.execute(f"PRAGMA synchronous = {setup.synchronous}")
    # What is deleted is overwritten with zeros. It does not find all of it: `erasure` does.
    connection.execute("PRAGMA secure_delete = ON")
    if setup.audit and connection.execute("SELECT audit FROM store").fetchone() == (0,):
        connection.execute("UPDATE store SET audit = 1")


def _version(connection: sqlite3.Connection, path: str, setup: Setup) -> int:
    newest = len(MIGRATIONS)
    version = version_of(connection, path, application=APPLICATION_ID, newest=newest, shared=setup.shared)
    if version == 0 and setup.shared:
        names = connection.execute("SELECT lower(name) FROM sqlite_schema").fetchall()
        if taken := sorted(TABLES.intersection(name for (name,) in names)):
            raise StoreCorrupt(
                f"{path} has tables of the application with names that journals need ({', '.join(taken)}): "
                "give another path. It was left as it is"
            )
    return version


def _migrate(connection: sqlite3.Connection, path: str, setup: Setup) -> None:
    """Bring the schema to the newest version, in one transaction. Another process may have done so meanwhile."""
    connection.execute("BEGIN IMMEDIATE")  # undone by closing the connection if any of this fails
    for step in MIGRATIONS[_version(connection, path, setup) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")

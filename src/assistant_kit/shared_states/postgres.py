"""Small values in a Postgres database, shared by the processes of any number of machines."""

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, Self

from assistant_kit.errors import (
    ConfigurationError,
    MissingDependency,
    StoreCorrupt,
    StoreTooNew,
    UnknownStore,
)

try:
    import psycopg
    from psycopg.pq import TransactionStatus
except ImportError as _missing:
    raise MissingDependency("psycopg", "postgres") from _missing

from assistant_kit.postgres_failures import Advice
from assistant_kit.postgres_session import Session
from assistant_kit.shared_states._combining import Update, settle
from assistant_kit.shared_states._postgres_server import PostgresServer, one_row
from assistant_kit.shared_states._rules import Held, Spot, Write
from assistant_kit.shared_states._threaded import Backend, ThreadedState

_SCHEMES: Final = ("postgresql:", "postgres:")
_CLOSING: Final = 10.0  # seconds beyond the timeout that what still waits may take

_VERSION: Final = 1
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OURS: Final = re.compile(r"\bassistant_kit_state\b")
"""The schema as the statements name it."""

_TABLES: Final = """
CREATE TABLE assistant_kit_state.layout (version integer NOT NULL);
INSERT INTO assistant_kit_state.layout (version) VALUES (1);
CREATE TABLE assistant_kit_state.state (
    spot bytea PRIMARY KEY,  -- SHA-256 of owner and key: an index takes no names of any length
    owner bytea NOT NULL,    -- SHA-256 of the owner
    key text NOT NULL,
    value bytea NOT NULL,
    mark bigint NOT NULL,    -- another one after each write
    at float8 NOT NULL,      -- seconds since 1970
    until float8 NOT NULL
) WITH (fillfactor = 70);  -- room for the next version of a row on its page: no index changes
CREATE INDEX state_by_owner ON assistant_kit_state.state (owner);
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('assistant_kit_state', 0))"
_STANDING: Final = """
    SELECT to_regclass('assistant_kit_state.layout') IS NOT NULL, EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE concat('"', n.nspname, '"') = 'assistant_kit_state'
    ), to_regnamespace('assistant_kit_state') IS NOT NULL
"""

_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_READ: Final = "SELECT spot, value, mark, at, until FROM assistant_kit_state.state WHERE spot = ANY(%s::bytea[])"
_LOCK_AND_READ: Final = f"{_READ} ORDER BY spot FOR UPDATE"
_INSERT: Final = """
    INSERT INTO assistant_kit_state.state (value, mark, at, until, spot, owner, key)
    VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_UPDATE: Final = """
    UPDATE assistant_kit_state.state SET value = %s, mark = %s, at = %s, until = %s WHERE spot = %s AND mark = %s
"""
_DELETE: Final = "DELETE FROM assistant_kit_state.state WHERE spot = %s AND mark = %s"
_VALUES: Final = """
    SELECT key, value FROM assistant_kit_state.state
    WHERE owner = %s AND until > greatest(extract(epoch FROM clock_timestamp())::float8, at)
"""
# All rows are locked, in one order, before the first is deleted: a join would delete each as it goes, and who waits to
# write such a row may hold the lock of the next.
_ERASE: Final = """
    DELETE FROM assistant_kit_state.state WHERE spot = ANY(ARRAY(
        SELECT spot FROM assistant_kit_state.state WHERE owner = %s ORDER BY spot FOR UPDATE
    ))
"""
_FORGET: Final = """
    WITH page AS MATERIALIZED (
        SELECT spot, until FROM assistant_kit_state.state WHERE spot > %s ORDER BY spot LIMIT %s
    ), held AS MATERIALIZED (
        SELECT s.spot FROM assistant_kit_state.state s JOIN page p ON p.spot = s.spot
        WHERE p.until <= %s AND s.until <= %s FOR UPDATE OF s SKIP LOCKED
    ), forgotten AS (
        DELETE FROM assistant_kit_state.state s USING held WHERE s.spot = held.spot
    )
    SELECT spot FROM page ORDER BY spot DESC LIMIT 1
"""
_FORGET_AFTER: Final = 64  # values written: so the rows are looked at faster than they come
_FORGET_AMONG: Final = 256
"""Rows that are looked at then, in the order of their hashes: so no index has to change with `until`."""

_NOT_ANSWERING: Final = (
    "see that it is a Postgres server, that it runs and is reached; what was under way may have taken place or not"
)
ADVICE: Final = Advice(
    silent=_NOT_ANSWERING,
    stopping=_NOT_ANSWERING,
    held="another process holds what is needed for too long: try again, or allow a longer timeout",
    rights="let a role that may do so run PostgresState.sql(), and grant what docs/shared-state.md lists",
    foreign="the schema is not as this version of assistant_kit made it: drop it, as its values may be forgotten",
    room="the server has no room left",
    files="the server cannot read or write its files",
    connections="the server takes no more connections: allow more there",
)


class PostgresState(ThreadedState):
    """Values in a schema of their own in the database that `url` names; the schema is made when it is first used.

    `timeout` is how many seconds to wait for the server. Times are by the server's clock; when it is set back, time
    stands still for a value until it has caught up. A change that was acknowledged survives the death of the process;
    the death of the server may take the last second.

    Event loops and threads may share an object. Raises ConfigurationError.
    """

    def __init__(self, url: str, *, schema: str = "assistant_kit_state", timeout: float = 10.0) -> None:
        written(_TABLES, schema)
        server = PostgresServer.at(url, timeout)
        super().__init__(
            Backend(
                name="postgres",
                place=f"{server.place}, schema {schema}",
                connect=partial(_Schema, server, schema),
                foreign=psycopg.Error,
                meaning=ADVICE.store_error,
                patience=timeout + _CLOSING,
            )
        )

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the state at `postgresql://user:password@host:port/database`. Raises ConfigurationError."""
        if not address.startswith(_SCHEMES):
            raise UnknownStore(address, _SCHEMES)
        return cls(address)

    @staticmethod
    def sql(schema: str = "assistant_kit_state") -> str:
        """Return the SQL that makes the schema, for review. Raises ConfigurationError."""
        steps = ["BEGIN;", f"{_LOCK};", "CREATE SCHEMA assistant_kit_state;", _TABLES.strip(), "COMMIT;", ""]
        return written("\n".join(steps), schema)


class _Schema:
    """The schema as its thread has it.

    No lock is held while a change decides, so that a worker that stands still is in nobody's way; only who was refused,
    because others were faster, takes his turn by a lock.
    """

    def __init__(self, server: PostgresServer, schema: str) -> None:
        self._server = server
        self._name = schema
        self._place = f"{server.place}, schema {schema}"
        self._insists = False
        self._written = 0
        self._looked_at = secrets.token_bytes(32)  # processes that live briefly do not all begin at one end
        self._session = server.connect()
        try:
            _prepare(self._session, self._place, schema)
        except BaseException:
            self._session.close()
            raise

    def update(self, updates: Sequence[Update[object]]) -> None:
        self._ready()
        self._insists = False
        settle(self, updates, place=self._place, patience=self._server.timeout)
        if self._session.info.transaction_status != TransactionStatus.IDLE:  # nothing was left to write
            self._session.execute("COMMIT")

    def read(self, spots: Sequence[Spot]) -> tuple[float, Mapping[Spot, Held[int]]]:
        by_hash = {_hash(*spot): spot for spot in spots}
        with self._session.pipeline():
            if self._insists:
                self._session.execute("BEGIN")
            rows = self._execute(_LOCK_AND_READ if self._insists else _READ, list(by_hash))
            clock = self._execute(_CLOCK)
        held = {
            by_hash[spot]: Held(value=value, mark=mark, at=at, until=until)
            for spot, value, mark, at, until in rows.fetchall()
        }
        ((now,),) = clock.fetchall()
        return now, held

    def write(self, writes: Sequence[Write[int]], clock: float) -> Sequence[Spot]:
        in_order = sorted(writes, key=lambda write: _hash(*write.spot))  # of locks: nobody waits in a circle
        done: list[psycopg.Cursor[Any]] = []
        with self._session.pipeline() as pipeline:
            for write in in_order:
                done.append(self._write(write))
                if not self._insists:
                    pipeline.sync()  # a transaction each: nobody waits for a lock while holding another
            if self._insists:
                self._session.execute("COMMIT")
        self._written += len(writes)
        if self._written >= _FORGET_AFTER:
            self._written = 0
            self._forget(clock)
        refused = [write.spot for write, cursor in zip(in_order, done, strict=True) if not cursor.rowcount]
        self._insists = bool(refused)
        return refused

    def values(self, owner: str) -> Mapping[str, bytes]:
        self._ready()
        return dict(self._execute(_VALUES, _hash(owner)).fetchall())

    def erase(self, owner: str) -> None:
        self._ready()
        self._execute(_ERASE, _hash(owner))

    def close(self) -> None:
        self._session.close()

    def _write(self, write: Write[int]) -> psycopg.Cursor[Any]:
        spot = _hash(*write.spot)
        if write.value is None:
            return self._execute(_DELETE, spot, write.seen)
        row = (write.value, secrets.randbits(63), write.at, write.until, spot)
        if write.seen is None:
            return self._execute(_INSERT, *row, _hash(write.spot[0]), write.spot[1])
        return self._execute(_UPDATE, *row, write.seen)

    def _forget(self, clock: float) -> None:
        last = self._execute(_FORGET, self._looked_at, _FORGET_AMONG, clock, clock).fetchone()
        self._looked_at = b"" if last is None else last[0]

    def _execute(self, statement: str, *values: object) -> psycopg.Cursor[Any]:
        return self._session.execute(written(statement, self._name).encode(), values, binary=True)

    def _ready(self) -> None:
        """Connect again when the server has ended the session since it was last used; to see that costs nothing."""
        if not self._session.lives:
            self._session.close()
            self._session = self._server.connect()


def _hash(*names: str) -> bytes:
    """Return what stands for an owner, or for an owner and a key."""
    # No name has NUL in it.
    return sha256("\0".join(names).encode()).digest()


def written(statement: str, schema: str) -> str:
    """Return SQL with the name of the schema in it. Raises ConfigurationError."""
    if not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} is no name for a schema: use a-z, 0-9 and _, and not pg_ in front")
    return _OURS.sub(f'"{schema}"', statement)


def _prepare(session: Session, place: str, schema: str) -> None:
    """Make the tables when there are none. A schema that is not ours is left as it is."""
    if _is_made(session, place, schema):
        return
    with session.transaction():
        session.execute(written(_LOCK, schema).encode())
        if _is_made(session, place, schema):  # another process has made them meanwhile
            return
        *_, has_schema = one_row(session, written(_STANDING, schema))
        if not has_schema:
            session.execute(written("CREATE SCHEMA assistant_kit_state", schema).encode())
        session.execute(written(_TABLES, schema).encode())


def _is_made(session: Session, place: str, schema: str) -> bool:
    """Whether the tables are there. Raises StoreCorrupt, StoreTooNew, psycopg.Error."""
    ours, anything, _ = one_row(session, written(_STANDING, schema))
    if not ours:
        if anything:
            raise StoreCorrupt(f"{place} is another program's: give another one. It was left as it is")
        return False
    (version,) = one_row(session, written("SELECT version FROM assistant_kit_state.layout", schema))
    if version > _VERSION:
        raise StoreTooNew(place, found=version, supported=_VERSION)
    return True

"""Where a Postgres server is, and how a connection to it is opened."""

import math
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int8BinaryDumper

from assistant_kit.errors import ConfigurationError
from assistant_kit.postgres_session import (
    Address,
    Session,
    check_settings,
    check_version,
    milliseconds,
    one_row,
    opened,
)
from assistant_kit.stores.postgres.values import Array, ArrayDumper

Cursor: TypeAlias = psycopg.Cursor[TupleRow]

_SETTINGS: Final = """
    current_setting('fsync'), coalesce(current_setting('assistant_kit.volatile', true), ''),
    current_setting('server_encoding'), current_setting('transaction_read_only')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How many seconds things may take.

    `connect`: to get a connection. `network`: for an answer, beyond what the server may take for it; after that the
    connection is given up. The others are kept by the server. `lock`: to wait for a row that another process holds.
    `statement`: one statement. `idle`: a transaction, of `transact`, between two statements. `maintenance`: a
    migration, a deletion, an erasure.
    """

    connect: float = 5.0
    network: float = 5.0
    lock: float = 5.0
    statement: float = 30.0
    idle: float = 60.0
    maintenance: float = 600.0

    def __post_init__(self) -> None:
        """Refuse a timeout of no time, or without an end. Raises ConfigurationError."""
        for name in self.__slots__:
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name} is a positive number of seconds, not {seconds!r}")

    def patience(self, seconds: float) -> float:
        """Return how long to wait for an answer when the server may take so many seconds for it."""
        return seconds + self.network

    @property
    def transaction(self) -> float:
        """Seconds that a transaction of writes may take."""
        return 2 * self.statement


@dataclass(frozen=True, slots=True)
class Server:
    """A server, a database and a role. `place` says which, without a password."""

    place: str
    timeouts: Timeouts
    conninfo: str = field(repr=False)

    @classmethod
    def at(cls, url: str, timeouts: Timeouts) -> "Server":
        """Return the server of a URL or of keywords such as `host=… dbname=…`. Raises ConfigurationError."""
        address = Address.of(url)
        settings = {
            "lock_timeout": timeouts.lock,
            "statement_timeout": timeouts.statement,
            "idle_in_transaction_session_timeout": timeouts.idle,
        }
        words = [f"-c {name}={milliseconds(seconds)}" for name, seconds in settings.items()]
        # Plans are made once for each connection; every statement has its index.
        words += ["-c plan_cache_mode=force_generic_plan", "-c jit=off", address.options]
        return cls(address.place, timeouts, address.conninfo(connect=timeouts.connect, options=words))

    def connect(self, *, writes: bool, transaction: float) -> Session:
        """Return a connection that keeps what it acknowledges, and whose transactions last so many seconds at most.

        Raises StoreUnavailable, StoreVolatile, psycopg.Error.
        """
        connection = opened(self.conninfo, patience=self.timeouts.patience(self.timeouts.statement))
        connection.adapters.register_dumper(Array, ArrayDumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)  # one type for all: their size is in no statement
        try:
            self._check(connection, writes=writes, transaction=transaction)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: Session, *, writes: bool, transaction: float) -> None:
        check_version(self.place, connection.info.server_version)
        settings = f"SELECT {_SETTINGS}, {lasting(transaction)}"
        fsync, volatile, encoding, read_only, *_ = one_row(connection, settings)
        check_settings(
            self.place, fsync=fsync, volatile=volatile, encoding=encoding, read_only=read_only, writes=writes
        )


def lasting(transaction: float) -> str:
    """Return the columns that make a session keep what it acknowledges, and its transactions last so many seconds."""
    return f"""
        CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END,
        CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN set_config('transaction_timeout', '{milliseconds(transaction)}', false) END
    """


def limit(*settings: str, seconds: float) -> bytes:
    """Return the statement that sets timeouts for a transaction, those of them that the server knows."""
    names = ", ".join(f"'{setting}'" for setting in settings)
    return " ".join(
        (f"SELECT set_config(name, '{milliseconds(seconds)}', true)", f"FROM pg_settings WHERE name IN ({names})")
    ).encode()

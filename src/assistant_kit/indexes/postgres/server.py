"""Where a Postgres server is, and how a connection to it is opened."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from assistant_kit.errors import ConfigurationError
from assistant_kit.indexes.postgres.values import Binary, BinaryDumper
from assistant_kit.postgres_session import Session, check_settings, check_version

_CONNECT: Final = 5
"""Seconds to get a connection."""

_NETWORK: Final = 5.0
"""Seconds to wait for an answer beyond what the server may take; then the connection is given up."""

MAINTENANCE: Final = 600.0
"""Seconds that a write, a deletion or a migration may take; waiting for a lock is bounded by the timeout."""

_SETTINGS: Final = """
    SELECT current_setting('fsync'), coalesce(current_setting('assistant_kit.volatile', true), ''),
        current_setting('server_encoding'), current_setting('transaction_read_only'),
        CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, a database and a role. `place` says which, without a password; `timeout` is in seconds."""

    place: str
    timeout: float
    options: str
    conninfo: str = field(repr=False)

    @classmethod
    def at(cls, url: str, timeout: float, *, settings: str = "") -> "Server":
        """Return the server of a URL or of keywords such as `host=… dbname=…`. Raises ConfigurationError.

        `settings` are more options of its sessions.
        """
        if not 0 < timeout < math.inf:
            raise ConfigurationError(f"timeout is a positive number of seconds, not {timeout!r}")
        try:
            given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
        except psycopg.Error:
            # What libpq says of it quotes it, and with it a password.
            raise ConfigurationError(
                "the address of the Postgres server cannot be read: see that it is a URL"
            ) from None
        user, port = given.get("user"), given.get("port")
        place = f"postgresql://{f'{user}@' if user else ''}{given.get('host', '')}{f':{port}' if port else ''}"
        options = [f"-c lock_timeout={_milliseconds(timeout)}", "-c jit=off", settings, str(given.pop("options", ""))]
        ours: dict[str, Any] = {
            "connect_timeout": _CONNECT,
            "fallback_application_name": "assistant_kit",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        conninfo = make_conninfo("", **{**ours, **given, "client_encoding": "UTF8"})
        return cls(f"{place}/{given.get('dbname', '')}", timeout, " ".join(filter(None, options)), conninfo)

    def connect(self, *, writes: bool) -> Session:
        """Return a connection that keeps what it acknowledges.

        Raises StoreUnavailable, StoreVolatile, psycopg.Error.
        """
        seconds = max(MAINTENANCE, self.timeout) if writes else self.timeout
        options = f"{self.options} -c statement_timeout={_milliseconds(seconds)}"
        try:
            # Without prepared statements a pooler may hand each transaction to another session.
            session = Session.connect(self.conninfo, autocommit=True, prepare_threshold=None, options=options)
        except psycopg.OperationalError as error:
            # The error keeps all that is known of the connection, and with it the password.
            raise psycopg.OperationalError(str(error)) from None
        session.adapters.register_dumper(Binary, BinaryDumper)
        session.patience = seconds + _NETWORK
        try:
            self._check(session, writes=writes)
        except BaseException:
            session.close()
            raise
        return session

    def _check(self, session: Session, *, writes: bool) -> None:
        check_version(self.place, session.info.server_version)
        fsync, volatile, encoding, read_only, _ = one_row(session, _SETTINGS)
        check_settings(
            self.place, fsync=fsync, volatile=volatile, encoding=encoding, read_only=read_only, writes=writes
        )


def one_row(session: Session, statement: str, *values: object) -> TupleRow:
    """Return the only row of a query that has one."""
    row = session.execute(statement.encode(), values, binary=True).fetchone()
    assert row is not None  # noqa: S101  (the caller's queries have one)
    return row


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))

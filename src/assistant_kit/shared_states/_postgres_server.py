"""Where a Postgres server is, and how a connection for shared state is opened."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from assistant_kit.errors import ConfigurationError
from assistant_kit.postgres_session import Session, check_settings, check_version

_CONNECT: Final = 5
"""Seconds to get a connection."""

_NETWORK: Final = 5.0
"""Seconds to wait for an answer beyond what the server may take; then the connection is given up."""

_SETTINGS: Final = "SELECT current_setting('server_encoding'), current_setting('transaction_read_only')"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A server, a database and a role. `place` says which, without a password; `timeout` is in seconds."""

    place: str
    timeout: float
    conninfo: str = field(repr=False)

    @classmethod
    def at(cls, url: str, timeout: float) -> "PostgresServer":
        """Return the server of a URL or of keywords such as `host=… dbname=…`. Raises ConfigurationError."""
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
        milliseconds = max(1, round(1000 * timeout))
        options = [
            f"-c statement_timeout={milliseconds}",
            f"-c idle_in_transaction_session_timeout={milliseconds}",  # a worker that stands still gives its locks back
            "-c jit=off",
            # Counters and reservations expire, and a journal does not depend on them: the death of the server may take
            # the last moments of all values alike, and a change costs no wait for the disk.
            "-c synchronous_commit=off",
            str(given.pop("options", "")),
        ]
        ours: dict[str, Any] = {
            "connect_timeout": _CONNECT,
            "fallback_application_name": "assistant_kit",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        fixed = {"client_encoding": "UTF8", "options": " ".join(options).strip()}
        conninfo = make_conninfo("", **{**ours, **given, **fixed})
        return cls(place=f"{place}/{given.get('dbname', '')}", timeout=timeout, conninfo=conninfo)

    def connect(self) -> Session:
        """Return a connection that can write. Raises StoreUnavailable, psycopg.Error."""
        try:
            # Without prepared statements a pooler may hand each transaction to another session.
            session = Session.connect(self.conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            # The error keeps all that is known of the connection, and with it the password.
            raise psycopg.OperationalError(str(error)) from None
        session.patience = self.timeout + _NETWORK
        try:
            check_version(self.place, session.info.server_version)
            encoding, read_only = one_row(session, _SETTINGS)
            # `fsync` and `volatile` are for journals: what is kept here may be forgotten.
            check_settings(self.place, fsync="on", volatile="", encoding=encoding, read_only=read_only, writes=True)
        except BaseException:
            session.close()
            raise
        return session


def one_row(session: Session, statement: str) -> TupleRow:
    """Return the only row of a query that has one."""
    row = session.execute(statement.encode()).fetchone()
    assert row is not None  # noqa: S101  (the callers' queries have one)
    return row

"""Where a Postgres server is, and how a connection for shared state is opened."""

import math
from dataclasses import dataclass, field
from typing import Final

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
        address = Address.of(url)
        options = [
            f"-c statement_timeout={milliseconds(timeout)}",
            # A worker that stands still gives its locks back.
            f"-c idle_in_transaction_session_timeout={milliseconds(timeout)}",
            "-c jit=off",
            # Counters and reservations expire, and a journal does not depend on them: the death of the server may take
            # the last moments of all values alike, and a change costs no wait for the disk.
            "-c synchronous_commit=off",
            address.options,
        ]
        return cls(place=address.place, timeout=timeout, conninfo=address.conninfo(connect=_CONNECT, options=options))

    def connect(self) -> Session:
        """Return a connection that can write. Raises StoreUnavailable, psycopg.Error."""
        session = opened(self.conninfo, patience=self.timeout + _NETWORK)
        try:
            check_version(self.place, session.info.server_version)
            encoding, read_only = one_row(session, _SETTINGS)
            # `fsync` and `volatile` are for journals: what is kept here may be forgotten.
            check_settings(self.place, fsync="on", volatile="", encoding=encoding, read_only=read_only, writes=True)
        except BaseException:
            session.close()
            raise
        return session

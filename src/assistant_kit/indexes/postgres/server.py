"""Where a Postgres server is, and how a connection to it is opened."""

import math
from dataclasses import dataclass, field
from typing import Final

from psycopg.rows import TupleRow

from assistant_kit.errors import ConfigurationError
from assistant_kit.indexes.postgres.values import Binary, BinaryDumper
from assistant_kit.postgres_session import Address, Session, check_settings, check_version, milliseconds, opened
from assistant_kit.postgres_session import one_row as only_row

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
        address = Address.of(url)
        options = [f"-c lock_timeout={milliseconds(timeout)}", "-c jit=off", settings, address.options]
        conninfo = address.conninfo(connect=_CONNECT, options=None)
        return cls(address.place, timeout, " ".join(filter(None, options)), conninfo)

    def connect(self, *, writes: bool) -> Session:
        """Return a connection that keeps what it acknowledges.

        Raises StoreUnavailable, StoreVolatile, psycopg.Error.
        """
        seconds = max(MAINTENANCE, self.timeout) if writes else self.timeout
        options = f"{self.options} -c statement_timeout={milliseconds(seconds)}"
        session = opened(self.conninfo, patience=seconds + _NETWORK, options=options)
        session.adapters.register_dumper(Binary, BinaryDumper)
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
    return only_row(session, statement, values, binary=True)

"""A connection to Postgres that does not wait for ever, and what a server must be like to keep what it acknowledges."""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow, tuple_row

from assistant_kit.errors import ConfigurationError, StoreUnavailable, StoreVolatile

T = TypeVar("T")

OLDEST: Final = 140000
"""Postgres 14, as `server_version` says it."""

_ENDING: Final = ("FATAL", "PANIC")


class _Farewell:
    """Hears what a server says unasked. `said`: among it was that it ends the session."""

    def __init__(self) -> None:
        self.said: bool = False

    def hear(self, notice: Diagnostic) -> None:
        self.said = self.said or notice.severity_nonlocalized in _ENDING


class Session(psycopg.Connection[TupleRow]):
    """A connection that waits at most `patience` seconds for an answer.

    A server that has frozen answers neither with data nor with an error, and its machine still keeps the way open.
    """

    patience: float = math.inf

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn, tuple_row)
        self._farewell = _Farewell()  # an object of its own: a handler that is a method would keep the session alive
        self.add_notice_handler(self._farewell.hear)

    @property
    def lives(self) -> bool:
        """Whether the server has not ended the session since it was last used; costs no round trip.

        A server says that it ends a session before it hangs up, and what is said between two queries libpq takes for a
        notice: so it is known from its first word.
        """
        try:
            self.pgconn.consume_input()  # what the server has said last,
            self.pgconn.notifies()  # which is read here,
            self.pgconn.consume_input()  # and that it has hung up
        except psycopg.OperationalError:
            return False
        return not (self.closed or self._farewell.said)

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer. Raises psycopg.OperationalError when there is none in time."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        begun = time.monotonic()
        ready: Any = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield wanted
            if not ready and time.monotonic() - begun > self.patience:
                self.patience = 0.0
                raise psycopg.OperationalError("no answer in time")


@dataclass(frozen=True, slots=True)
class Address:
    """What an address says about a server. `place` names it without a password; `given` are the keywords of libpq."""

    place: str
    given: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, url: str) -> "Address":
        """Read a URL, or keywords such as `host=… dbname=…`. Raises ConfigurationError."""
        try:
            given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
        except psycopg.Error:
            # What libpq says of it quotes it, and with it a password.
            raise ConfigurationError(
                "the address of the Postgres server cannot be read: see that it is a URL"
            ) from None
        user, port = given.get("user"), given.get("port")
        place = f"postgresql://{f'{user}@' if user else ''}{given.get('host', '')}{f':{port}' if port else ''}"
        return cls(f"{place}/{given.get('dbname', '')}", given)

    @property
    def options(self) -> str:
        """The settings of a session that the address asks for."""
        return str(self.given.get("options", ""))

    def conninfo(self, *, connect: float, options: Sequence[str] | None) -> str:
        """Return what libpq connects by. `connect` is in seconds; `options` None: those are said when connecting."""
        given = {name: value for name, value in self.given.items() if name != "options"}
        ours: dict[str, Any] = {
            "connect_timeout": math.ceil(connect),
            "fallback_application_name": "assistant_kit",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        fixed = {} if options is None else {"options": " ".join(options).strip()}
        return make_conninfo("", **{**ours, **given, "client_encoding": "UTF8", **fixed})


def opened(conninfo: str, *, patience: float, **more: Any) -> Session:
    """Return a connection. Raises psycopg.Error, without the password that psycopg's own error holds."""
    try:
        # Without prepared statements a pooler may hand each transaction to another session.
        session = Session.connect(conninfo, autocommit=True, prepare_threshold=None, **more)
    except psycopg.OperationalError as error:
        # The error keeps all that is known of the connection, and with it the password.
        raise psycopg.OperationalError(str(error)) from None
    session.patience = patience
    return session


def one_row(session: Session, statement: str, values: Sequence[object] = (), *, binary: bool = False) -> TupleRow:
    """Return the only row of a query that has one."""
    row = session.execute(statement.encode(), values, binary=binary).fetchone()
    assert row is not None  # noqa: S101  (the callers' queries have one)
    return row


def milliseconds(seconds: float) -> int:
    """Return what Postgres takes for a timeout; 0 would be none."""
    return max(1, round(1000 * seconds))


def check_version(place: str, version: int) -> None:
    """Refuse a server that is too old; versions are numbered as Postgres does. Raises StoreUnavailable."""
    if version < OLDEST:
        raise StoreUnavailable(f"{place}: the server says it is Postgres {version // 10000}: 14 is needed")


def check_settings(place: str, *, fsync: str, volatile: str, encoding: str, read_only: str, writes: bool) -> None:
    """Refuse a server that would not keep what it acknowledges, or cannot take it, by its own settings.

    `volatile` is its setting `assistant_kit.volatile`, which says that this is meant. Raises StoreUnavailable,
    StoreVolatile.
    """
    if encoding != "UTF8":
        raise StoreUnavailable(f"{place}: the database has the encoding {encoding}: give one with UTF8")
    if writes and read_only == "on":
        raise StoreUnavailable(f"{place}: the server is read only: give the address of the primary")
    if fsync != "on" and volatile != "on":
        problem = (
            "fsync is off; turn it on, or say that this is meant: ALTER DATABASE … SET assistant_kit.volatile = on"
        )
        raise StoreVolatile(place, problem)

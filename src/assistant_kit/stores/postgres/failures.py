"""What Postgres's errors mean to somebody who keeps journals in it."""

from typing import Final

import psycopg

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

_AGAIN: Final = "nothing that was acknowledged is lost, and writing again is safe"
_HELD: Final = "another process holds what is needed for too long: try again, or allow longer Timeouts"
_NOT_ANSWERING: Final = f"see that it is a Postgres server, that it runs and is reached; {_AGAIN}"
_NO_RIGHTS: Final = "grant this role what docs/postgres.md lists, or let a role that may do so run PostgresStore.sql()"
_FOREIGN: Final = "the schema is not as this version of assistant_kit made it: put back a backup, or give another"

_MEANINGS: Final[dict[str, tuple[type[StoreError], str]]] = {
    "08": (StoreUnavailable, _NOT_ANSWERING),
    "25006": (StoreUnavailable, "the server is a standby or set to read only: give the address of the primary"),
    "25P03": (StoreUnavailable, "a transaction stood idle for longer than Timeouts(idle=…): nothing of it is kept"),
    "25P04": (StoreBusy, _HELD),
    "28": (StoreUnavailable, "give another user or password"),
    "3D": (StoreUnavailable, "make the database first, or give another one"),
    "3F": (StoreCorrupt, _FOREIGN),
    "40": (StoreBusy, _HELD),
    "42": (StoreCorrupt, _FOREIGN),
    "42501": (StoreUnavailable, _NO_RIGHTS),
    "53": (StoreUnavailable, f"the server has no room left; {_AGAIN}"),
    "53300": (StoreUnavailable, "the server takes no more connections: allow more there, or use fewer connections=…"),
    "55P03": (StoreBusy, _HELD),
    "57": (StoreUnavailable, f"the server is being stopped or started; {_AGAIN}"),
    "57014": (StoreBusy, _HELD),
    "58": (StoreUnavailable, f"the server cannot read or write its files; {_AGAIN}"),
    "XX001": (StoreCorrupt, "the database is damaged: put back a backup"),
    "XX002": (StoreCorrupt, "an index is damaged: REINDEX it, or put back a backup"),
}
"""By SQLSTATE, or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def store_error(error: psycopg.Error, place: str) -> StoreError:
    """Return what an error of Postgres, or of the way to it, is in our tree. Raise it `from` the error."""
    code = error.sqlstate
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    if code is None:  # libpq gives none for what goes wrong before or with the connection
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        kind, advice = (StoreUnavailable, _NOT_ANSWERING) if lost else (StoreError, "please report it")
    else:
        kind, advice = _MEANINGS.get(code) or _MEANINGS.get(code[:2]) or (StoreError, "please report it")
    return kind(f"{place}: {said}: {advice}")

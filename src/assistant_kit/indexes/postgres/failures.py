"""What Postgres's errors mean to somebody who searches in it."""

from typing import Final

import psycopg

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

_NOT_ANSWERING: Final = "see that it is a Postgres server, that it runs and is reached; putting again is safe"
_HELD: Final = "another process holds what is needed for too long, or there is much to search: allow a longer timeout"
_NO_RIGHTS: Final = "grant this role what docs/search-servers.md lists, or let another run PostgresIndex.sql()"
_FOREIGN: Final = "the schema is not as this version of assistant_kit made it: put back a backup, or give another"

_MEANINGS: Final[dict[str, tuple[type[StoreError], str]]] = {
    "08": (StoreUnavailable, _NOT_ANSWERING),
    "25006": (StoreUnavailable, "the server is a standby or set to read only: give the address of the primary"),
    "28": (StoreUnavailable, "give another user or password"),
    "3D": (StoreUnavailable, "make the database first, or give another one"),
    "3F": (StoreCorrupt, _FOREIGN),
    "40": (StoreBusy, _HELD),
    "42": (StoreCorrupt, _FOREIGN),
    "42501": (StoreUnavailable, _NO_RIGHTS),
    "53": (StoreUnavailable, "the server has no room left; nothing that was acknowledged is lost"),
    "53300": (StoreUnavailable, "the server takes no more connections: allow more there, or use fewer connections=…"),
    "55P03": (StoreBusy, _HELD),
    "57": (StoreUnavailable, _NOT_ANSWERING),
    "57014": (StoreBusy, _HELD),
    "58": (StoreUnavailable, "the server cannot read or write its files; nothing that was acknowledged is lost"),
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

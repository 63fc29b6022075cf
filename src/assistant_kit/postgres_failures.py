"""What Postgres's errors mean to somebody who keeps something in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import psycopg

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError, StoreUnavailable

Meaning: TypeAlias = tuple[type[StoreError], str]
_REPORT: Final = "please report it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do about errors, in the words of one use.

    When the server does not answer or is `stopping`, holds a lock for too long, gives a role no `rights`, or has a
    `foreign` schema; `room` and `files` are what is said when it has none, or cannot read them. `more` has others, by
    SQLSTATE.
    """

    silent: str
    stopping: str
    held: str
    rights: str
    foreign: str
    room: str
    files: str
    connections: str = "the server takes no more connections: allow more there, or use fewer connections=…"
    more: Mapping[str, Meaning] = field(default_factory=dict[str, Meaning])

    def meaning(self, code: str) -> Meaning:
        """Return what an SQLSTATE means, by itself or by its class.

        Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
        """
        known: dict[str, Meaning] = {
            "08": (StoreUnavailable, self.silent),
            "25006": (StoreUnavailable, "the server is a standby or set to read only: give the address of the primary"),
            "28": (StoreUnavailable, "give another user or password"),
            "3D": (StoreUnavailable, "make the database first, or give another one"),
            "3F": (StoreCorrupt, self.foreign),
            "40": (StoreBusy, self.held),
            "42": (StoreCorrupt, self.foreign),
            "42501": (StoreUnavailable, self.rights),
            "53": (StoreUnavailable, self.room),
            "53300": (StoreUnavailable, self.connections),
            "55P03": (StoreBusy, self.held),
            "57": (StoreUnavailable, self.stopping),
            "57014": (StoreBusy, self.held),
            "58": (StoreUnavailable, self.files),
            "XX001": (StoreCorrupt, "the database is damaged: put back a backup"),
            "XX002": (StoreCorrupt, "an index is damaged: REINDEX it, or put back a backup"),
            **self.more,
        }
        return known.get(code) or known.get(code[:2]) or (StoreError, _REPORT)

    def store_error(self, error: psycopg.Error, place: str) -> StoreError:
        """Return what an error of Postgres, or of the way to it, is in our tree. Raise it `from` the error."""
        said = error.diag.message_primary or str(error).strip() or type(error).__name__
        if error.sqlstate is None:  # libpq gives none for what goes wrong before or with the connection
            lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            kind, advice = (StoreUnavailable, self.silent) if lost else (StoreError, _REPORT)
        else:
            kind, advice = self.meaning(error.sqlstate)
        return kind(f"{place}: {said}: {advice}")

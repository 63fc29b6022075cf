"""A connection of apsw that the statements of our store take for one of `sqlite3`."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import apsw

from tests.power_loss.disk import Disk, PowerLost

_KINDS: dict[type[apsw.Error], type[sqlite3.Error]] = {
    apsw.ConstraintError: sqlite3.IntegrityError,
    apsw.IOError: sqlite3.OperationalError,
}


class Rows:
    """What a statement answered. All of it was fetched, so that the statement is done."""

    def __init__(self, rows: Iterable[Any], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def __iter__(self) -> "Rows":
        return self

    def __next__(self) -> Any:
        return next(self._rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class Connection:
    """The few methods that the store uses."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._apsw = apsw.Connection(path, vfs=disk.name)

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        before = self._apsw.total_changes()
        try:
            rows = cast("Any", self._apsw).execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error
        return Rows(rows, self._apsw.total_changes() - before)

    def executemany(self, sql: str, many: Iterable[Sequence[Any]]) -> None:
        for parameters in many:
            self.execute(sql, parameters)

    def close(self) -> None:
        with suppress(PowerLost):
            self._apsw.close()


def connect(path: str, disk: Disk) -> sqlite3.Connection:
    """Open a file on a disk."""
    return cast("sqlite3.Connection", Connection(path, disk))


def _translated(error: apsw.Error) -> sqlite3.Error:
    translated = _KINDS.get(type(error), sqlite3.DatabaseError)(str(error))
    translated.sqlite_errorcode = cast("Any", error).extendedresult
    return translated

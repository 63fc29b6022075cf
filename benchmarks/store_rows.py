"""Rows of an application, written in the transactions of the stores that have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant_kit.protocols.projection import Projected, Projection

_TABLE = "CREATE TABLE IF NOT EXISTS benchmark_rows (conversation text, seq integer, record_id text)"


def _rows(written: Projected) -> list[tuple[Any, ...]]:
    return [(written.conversation, seq, new.record_id) for seq, new in enumerate(written.records, start=written.seq)]


class _Rows:
    """Makes the table once: asking for it each time would be measured, too."""

    def __init__(self, insert: str) -> None:
        self._insert = insert
        self._is_made = False

    def __call__(self, connection: Any, written: Projected) -> None:
        if not self._is_made:
            connection.execute(_TABLE)
            self._is_made = True
        for row in _rows(written):
            connection.execute(self._insert, row)


PROJECTIONS: Mapping[str, Projection] = {
    "sqlite": _Rows("INSERT INTO benchmark_rows VALUES (?, ?, ?)"),
    "postgres": _Rows("INSERT INTO benchmark_rows VALUES (%s, %s, %s)"),
}

"""Segments: how conversations share records without copying them.

A segment holds records of one line of a conversation, and may continue another: the first `base` records that are seen
from it are those seen from its parent. A conversation that was never forked or rewound has one segment and no parent.
"""

import sqlite3
from typing import Final

from assistant_kit.stores.sqlite.failures import damaged

MAX_SEQ: Final = 2**32 - 1
"""Records of one conversation: `place` has 32 bits for them."""

_PIECES: Final = """
    WITH RECURSIVE line (segment, top) AS (
        SELECT parent, base FROM segments WHERE segment = ?
        UNION -- and not UNION ALL, which would never end if damage had made a circle of it
        SELECT segments.parent, segments.base FROM line JOIN segments ON segments.segment = line.segment
    )
    SELECT segment, top FROM line
"""
_FIND: Final = """
    SELECT place & 0xFFFFFFFF FROM records WHERE segment = ? AND record_id = ? AND place & 0xFFFFFFFF <= ?
"""
_NEXT: Final = "SELECT max(segment, ifnull((SELECT max(segment) FROM conversations), 0)) + 1 FROM store"
_CONTINUE: Final = "INSERT INTO segments (segment, parent, base) VALUES (?, ?, ?)"
_SHARED: Final = "SELECT ifnull(max(base), 0) FROM segments WHERE parent = ?"
_CUT: Final = "DELETE FROM records WHERE place BETWEEN ? AND ?"
_FORGET: Final = "DELETE FROM segments WHERE segment = ? RETURNING parent"
_RETIRE: Final = "UPDATE store SET segment = max(segment, ?), fence = max(fence, ?)"
_IS_OWN: Final = "SELECT 1 FROM conversations WHERE segment = ?"


def place(segment: int, seq: int) -> int:
    """Return where a record stands in the table of all records."""
    return (segment << 32) + seq


def pieces(connection: sqlite3.Connection, segment: int) -> list[tuple[int, int]]:
    """Return the segments above `segment` with the highest seq that is seen of each, the nearest first."""
    found = connection.execute(_PIECES, (segment,)).fetchall()
    if any(type(value) is not int for row in found for value in row):
        raise damaged(f"segment {segment}")
    return found


def find(connection: sqlite3.Connection, segment: int, base: int, record_id: str) -> int | None:
    """Return the seq of a record that is seen from a segment with this base, by its id."""
    tops = [(segment, MAX_SEQ), *(pieces(connection, segment) if base else ())]
    for piece, top in tops:
        row = connection.execute(_FIND, (piece, record_id, top)).fetchone()
        if row is not None:
            return row[0]
    return None


def home(connection: sqlite3.Connection, segment: int, seq: int) -> int:
    """Return the segment in which the record `seq` that is seen from `segment` stands."""
    for piece, top in pieces(connection, segment):
        if seq > top:
            break
        segment = piece
    return segment


def total_at(connection: sqlite3.Connection, segment: int, seq: int) -> int:
    """Return the sum of tokens up to and with the record `seq`, which stands in `segment`; 0 if `seq` is 0."""
    row = connection.execute("SELECT total_tokens FROM records WHERE place = ?", (place(segment, seq),)).fetchone()
    return 0 if row is None else row[0]


def next_segment(connection: sqlite3.Connection) -> int:
    """Return a number that no segment has ever had."""
    return connection.execute(_NEXT).fetchone()[0]


def carry_on(connection: sqlite3.Connection, segment: int, *, parent: int, base: int) -> None:
    """Let the new `segment` begin with the first `base` records seen from `parent`."""
    if base:
        connection.execute(_CONTINUE, (segment, parent, base))


def shared_up_to(connection: sqlite3.Connection, segment: int) -> int:
    """Return the highest seq of a segment that another one needs."""
    (seq,) = connection.execute(_SHARED, (segment,)).fetchone()
    if type(seq) is not int:
        raise damaged(f"segment {segment}")
    return seq


def cut(connection: sqlite3.Connection, segment: int, *, after: int) -> None:
    """Delete the records of a segment that stand after `after`."""
    connection.execute(_CUT, (place(segment, after + 1), place(segment, MAX_SEQ)))


def retire(connection: sqlite3.Connection, segment: int, fence: int = 0) -> None:
    """See that no later conversation gets the number of this segment, which is given up, or a fence up to this one."""
    connection.execute(_RETIRE, (segment, fence))


def let_go(connection: sqlite3.Connection, segment: int) -> None:
    """Delete what nobody needs any more of a segment that is no conversation's own, and of those above it."""
    while connection.execute(_IS_OWN, (segment,)).fetchone() is None:
        needed = shared_up_to(connection, segment)
        cut(connection, segment, after=needed)
        if needed:
            return
        # Fetched to the end: only then is the statement done.
        parents = connection.execute(_FORGET, (segment,)).fetchall()
        if not parents:
            return
        ((segment,),) = parents

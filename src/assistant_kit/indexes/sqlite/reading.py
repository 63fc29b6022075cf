"""What is asked of an index file. Each function sees one state of it."""

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import apsw

from assistant_kit.indexes._rules import Space, settled
from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.indexes.sqlite.filters import condition
from assistant_kit.indexes.sqlite.writing import kept_space
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, Label, Passage, Where

Row: TypeAlias = tuple[int, str, str, str, float, str]

_SELECT: Final = (
    "SELECT passages.passage, passages.id, passages.text, passages.source, passages.at, passages.labels"
    " FROM passages WHERE"
)
"""Selects Rows."""

_OWNER: Final = "SELECT owner FROM owners WHERE name = ?"
_OWNED: Final = f"owner = ({_OWNER})"

_OWNERS: Final = "SELECT name FROM owners WHERE name > ? AND passages > 0 ORDER BY name LIMIT ?"
_LISTED: Final = "IN (SELECT value FROM json_each(?))"
_OF_IDS: Final = f"{_SELECT} {_OWNED} AND id {_LISTED}"
_PAGE: Final = f"{_SELECT} {_OWNED} AND id > ?"
_OF_KEYS: Final = f"{_SELECT} passage {_LISTED}"

MAX_NEAREST: Final = 4096
"""The most that sqlite-vec finds at once."""

_NEAREST: Final = "SELECT rowid, distance FROM vectors WHERE embedding MATCH ? AND k = ? AND owner = ?"
_ALL_BY_DISTANCE: Final = "SELECT rowid, vec_distance_cosine(embedding, ?) AS distance FROM vectors WHERE owner = ?"
_FITTING: Final = " AND rowid IN (SELECT passage FROM passages WHERE owner = ?"


def owners(connection: Connection, after: str, limit: int) -> list[str]:
    """Return owners who have passages, in the order of their UTF-8 bytes."""
    return [name for (name,) in connection.execute(_OWNERS, (after, limit))]


def get(connection: Connection, owner: str, ids: Sequence[str]) -> list[Passage]:
    """Return passages in the order of `ids`, with their vectors."""
    rows = connection.execute(_OF_IDS, (owner, json.dumps(ids))).fetchall()
    found = {passage.id: passage for passage in _with_vectors(connection, rows)}
    return [found[name] for name in ids if name in found]


def page(connection: Connection, owner: str, after: str, limit: int, where: Where | None) -> list[Passage]:
    """Return passages in the order of their ids, with their vectors."""
    fitting, bindings = condition(where)
    sql = f"{_PAGE}{fitting} ORDER BY id LIMIT ?"
    return _with_vectors(connection, connection.execute(sql, (owner, after, *bindings, limit)).fetchall())


def nearest(connection: Connection, owner: str, vector: Vector, *, limit: int, where: Where | None) -> list[Hit]:
    """Return the passages with the nearest vectors."""
    number = connection.execute(_OWNER, (owner,)).get
    if number is None or kept_space(connection).dimensions is None:
        return []
    fitting, bindings = condition(where)
    if fitting:
        fitting = f"{_FITTING}{fitting})"
        bindings = (number, *bindings)
    asked = vector.tobytes()
    if limit <= MAX_NEAREST:
        found = connection.execute(_NEAREST + fitting, (asked, limit, number, *bindings))
    else:
        sql = f"{_ALL_BY_DISTANCE}{fitting} ORDER BY distance LIMIT ?"
        found = connection.execute(sql, (asked, number, *bindings, limit))
    return hits(connection, ((key, 1.0 - distance) for key, distance in found.fetchall()))


def hits(connection: Connection, scored: Iterable[tuple[int, float]]) -> list[Hit]:
    """Return what was found as passages, the best first, and of equals the first by id."""
    scores = dict(scored)
    rows = connection.execute(_OF_KEYS, (json.dumps(list(scores)),))
    found = [Hit(passage=_passage(row, None), score=scores[row[0]]) for row in rows]
    return sorted(found, key=lambda hit: (-hit.score, hit.passage.id))


def space_asked(connection: Connection, path: str, opened: Space) -> Space:
    """Return where a question's vector has to live. Raises IndexMismatch."""
    return settled(path, kept=kept_space(connection), given=opened)


def _with_vectors(connection: Connection, rows: Sequence[Row]) -> list[Passage]:
    if kept_space(connection).dimensions is None:
        return [_passage(row, None) for row in rows]
    vectors: dict[int, bytes] = {}
    for key, *_ in rows:
        for (vector,) in connection.execute("SELECT embedding FROM vectors WHERE rowid = ?", (key,)):
            vectors[key] = vector
    return [_passage(row, vectors.get(row[0])) for row in rows]


def _passage(row: Row, vector: bytes | None) -> Passage:
    _, name, text, source, at, labels = row
    return Passage(
        id=_checked(name),
        text=_checked(text),
        source=_checked(source),
        at=float(at),
        labels=_labels(labels),
        vector=None if vector is None else array("f", vector),
    )


def _checked(text: object) -> str:
    """Return a text that is one: SQLite does not look at the types of what it reads from a damaged table."""
    if not isinstance(text, str):
        raise apsw.CorruptError(f"{text!r} stands where a text should")
    return text


def _labels(text: str) -> dict[str, Label]:
    try:
        labels = json.loads(_checked(text))
    except json.JSONDecodeError as error:
        raise apsw.CorruptError(f"{text!r} stands where labels should") from error
    return labels

"""What changes an index file. Each function runs inside a transaction, and checks before it writes."""

import json
from collections.abc import Sequence
from typing import Final

import apsw

from assistant_kit.indexes._rules import Space, settled, space_of
from assistant_kit.indexes._words import words
from assistant_kit.indexes.sqlite.connection import Binding, Connection
from assistant_kit.indexes.sqlite.filters import condition, label_value
from assistant_kit.indexes.sqlite.schema import CHUNK, VECTORS
from assistant_kit.protocols.search_index import Passage, Where

_FIND: Final = "SELECT passage, text FROM passages WHERE owner = ? AND id = ?"
_ADD: Final = "INSERT INTO passages (text, source, at, labels, owner, id) VALUES (?, ?, ?, ?, ?, ?)"
_CHANGE: Final = "UPDATE passages SET text = ?, source = ?, at = ?, labels = ? WHERE passage = ?"
_OF_OWNER: Final = "SELECT passage FROM passages WHERE owner = ?"
_OF_IDS: Final = " AND passages.id IN (SELECT value FROM json_each(?))"

_FORGET: Final = (
    "DELETE FROM labels WHERE passage IN (SELECT value FROM json_each(?))",
    "DELETE FROM words WHERE rowid IN (SELECT value FROM json_each(?))",
    "DELETE FROM passages WHERE passage IN (SELECT value FROM json_each(?))",
)


def kept_space(connection: Connection) -> Space:
    """Return where the vectors of this file live; nothing is known before the first."""
    found = connection.execute("SELECT embedder, dimensions FROM store").fetchone()
    if found is None:
        raise apsw.CorruptError("the row that says what the vectors are is gone")
    embedder, dimensions = found
    return Space(embedder=embedder, dimensions=dimensions or None)


def mark(word: str, owner: int) -> str:
    """Return a word as it stands in the index: with its owner's number, parted by what is in no word."""
    return f"{owner}\u00b7{word}"


def settle(connection: Connection, path: str, given: Space) -> None:
    """Keep the name of an embedder for a file that has vectors already. Raises IndexMismatch."""
    kept = kept_space(connection)
    if kept.dimensions is not None:
        connection.execute("UPDATE store SET embedder = ?", (settled(path, kept=kept, given=given).embedder,))


def put(connection: Connection, path: str, owner: str, opened: Space, passages: Sequence[Passage]) -> None:
    """Add passages, or replace those of the same ids. Raises InputError, IndexMismatch."""
    kept = kept_space(connection)
    space = space_of(passages, place=path, kept=kept, opened=opened)
    if any(passage.vector is not None for passage in passages):
        if kept.dimensions is None:
            connection.execute(VECTORS.format(space.dimensions, CHUNK))
        connection.execute("UPDATE store SET embedder = ?, dimensions = ?", (space.embedder, space.dimensions))
        kept = space
    number = _owner(connection, owner)
    added = sum(_put(connection, number, passage, vectors=kept.dimensions is not None) for passage in passages)
    _count(connection, number, added)


def _owner(connection: Connection, name: str) -> int:
    connection.execute("INSERT INTO owners (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    return connection.execute("SELECT owner FROM owners WHERE name = ?", (name,)).get


def _put(connection: Connection, owner: int, passage: Passage, *, vectors: bool) -> bool:
    """Add or replace one passage, and tell whether it is new."""
    found = connection.execute(_FIND, (owner, passage.id)).fetchone()
    values = (passage.text, passage.source, passage.at, json.dumps(dict(passage.labels), ensure_ascii=False))
    marked = " ".join(mark(word, owner) for word in words(passage.text))
    if found is None:
        connection.execute(_ADD, (*values, owner, passage.id))
        key = connection.last_insert_rowid()
        connection.execute("INSERT INTO words (rowid, body) VALUES (?, ?)", (key, marked))
    else:
        key = found[0]
        connection.execute(_CHANGE, (*values, key))
        connection.execute("DELETE FROM labels WHERE passage = ?", (key,))
        if found[1] != passage.text:
            connection.execute("UPDATE words SET body = ? WHERE rowid = ?", (marked, key))
    connection.executemany(
        "INSERT INTO labels (owner, name, value, passage) VALUES (?, ?, ?, ?)",
        [(owner, name, label_value(value), key) for name, value in passage.labels.items()],
    )
    if vectors:
        old = None if found is None else _vector(connection, key)
        _put_vector(connection, owner, key, old, None if passage.vector is None else passage.vector.tobytes())
    return found is None


def _vector(connection: Connection, key: int) -> bytes | None:
    (vector,) = connection.execute("SELECT embedding FROM vectors WHERE rowid = ?", (key,)).fetchone() or (None,)
    return vector


def _put_vector(connection: Connection, owner: int, key: int, old: bytes | None, vector: bytes | None) -> None:
    """Let this be the passage's vector. One that is replaced in its place leaves no gap in its chunk."""
    if old is None and vector is not None:
        connection.execute("INSERT INTO vectors (rowid, owner, embedding) VALUES (?, ?, ?)", (key, owner, vector))
    elif old is not None and vector is None:
        connection.execute("DELETE FROM vectors WHERE rowid = ?", (key,))
    elif old != vector:
        connection.execute("UPDATE vectors SET embedding = ? WHERE rowid = ?", (vector, key))


def delete(connection: Connection, owner: str, ids: Sequence[str]) -> int:
    """Delete those of these passages that exist, and return their number."""
    return _delete(connection, owner, _OF_IDS, (json.dumps(ids),))


def delete_where(connection: Connection, owner: str, where: Where) -> int:
    """Delete all passages that are like this, and return their number."""
    return _delete(connection, owner, *condition(where))


def erase(connection: Connection, owner: str) -> int:
    """Delete all passages of an owner, and the owner; return the number of passages. Traces are left for `scrub`."""
    count = _delete(connection, owner, "", ())
    connection.execute(
        "UPDATE store SET traces = traces + 1 WHERE EXISTS (SELECT 1 FROM owners WHERE name = ?)", (owner,)
    )
    connection.execute("DELETE FROM owners WHERE name = ?", (owner,))
    return count


def _delete(connection: Connection, owner: str, chosen: str, bindings: Sequence[Binding]) -> int:
    number = connection.execute("SELECT owner FROM owners WHERE name = ?", (owner,)).get
    if number is None:
        return 0
    found: list[int] = [key for (key,) in connection.execute(_OF_OWNER + chosen, (number, *bindings))]
    if found:
        keys = json.dumps(found)
        for statement in _FORGET:
            connection.execute(statement, (keys,))
        if kept_space(connection).dimensions is not None:
            connection.executemany("DELETE FROM vectors WHERE rowid = ?", [(key,) for key in found])
        _count(connection, number, -len(found))
    return len(found)


def _count(connection: Connection, owner: int, change: int) -> None:
    connection.execute("UPDATE owners SET passages = passages + ? WHERE owner = ?", (change, owner))
    connection.execute("UPDATE store SET passages = passages + ?", (change,))


def scrub(connection: Connection) -> bool:
    """Write the file anew if erased owners may have left traces, outside of a transaction; tell whether none are left.

    Costs what copying the file costs, in time and in space on the disk.
    """
    traces = connection.execute("SELECT traces FROM store").get
    if not traces:
        return True
    # FTS5 notes what was deleted beside what was there, until it merges both.
    connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
    connection.execute("VACUUM")
    kept_back, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    if kept_back:
        return False
    connection.execute("UPDATE store SET traces = 0 WHERE traces = ?", (traces,))
    return True

"""Values as Postgres takes and gives them fastest: arrays and vectors in its binary form."""

import json
from array import array
from collections.abc import Iterable, Sequence
from struct import Struct, pack, unpack_from
from typing import Any, Final

from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from assistant_kit.indexes._words import words
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Passage

_ARRAY: Final = Struct("!iiIii")  # dimensions, whether there are nulls, type, length, first index
_LENGTH: Final = Struct("!i")
_FLOAT: Final = Struct("!id")  # its length and itself
_VECTOR: Final = Struct("!HH")  # dimensions, and nothing
_TEXT, _FLOAT8 = 25, 701
_NULL: Final = _LENGTH.pack(-1)

_MAX_WORDS: Final = 500_000
"""Bytes of words by which a passage is found: what Postgres makes of them stays below its limit of 1 MB."""


class Binary(bytes):
    """A value in the form in which Postgres sends and receives it; the statement says of which type it is."""

    __slots__ = ()


class BinaryDumper(Dumper):
    """Hands a value over as it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Any) -> Buffer | None:
        """Return the bytes."""
        return obj


class VectorLoader(Loader):
    """Reads a `vector` of pgvector."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Vector:
        """Return the numbers."""
        raw = bytes(data)
        length, _ = _VECTOR.unpack_from(raw)
        return array("f", unpack_from(f"!{length}f", raw, _VECTOR.size))


def vector_value(vector: Vector) -> Binary:
    """Return a `vector` of pgvector: https://github.com/pgvector/pgvector/blob/master/src/vector.c (vector_recv)."""
    return Binary(_VECTOR.pack(len(vector), 0) + pack(f"!{len(vector)}f", *vector))


def texts(values: Iterable[str]) -> Binary:
    """Return a `text[]`."""
    return _array(_TEXT, [value.encode() for value in values])


def columns(passages: Sequence[Passage], vector_type: int) -> list[Binary]:
    """Return ids, texts, sources, times, labels, words and vectors of passages as arrays, one element a passage."""
    vectors = [None if one.vector is None else vector_value(one.vector) for one in passages]
    return [
        texts(one.id for one in passages),
        texts(one.text for one in passages),
        texts(one.source for one in passages),
        _floats([one.at for one in passages]),
        texts(json.dumps(dict(one.labels)) for one in passages),
        texts(searchable(one.text) for one in passages),
        _array(vector_type, vectors),
    ]


def searchable(text: str) -> str:
    """Return the words of a text with blanks between them, as many as Postgres can keep of one."""
    joined = " ".join(words(text))
    if len(joined) * 4 <= _MAX_WORDS:
        return joined
    return joined.encode()[:_MAX_WORDS].decode(errors="ignore")


def _floats(values: Sequence[float]) -> Binary:
    elements = [_FLOAT.pack(8, value) for value in values]
    return Binary(b"".join([_ARRAY.pack(1, 0, _FLOAT8, len(elements), 1), *elements]))


def _array(kind: int, values: Sequence[bytes | None]) -> Binary:
    parts = [_ARRAY.pack(1, int(None in values), kind, len(values), 1)]
    for value in values:
        parts += (_NULL,) if value is None else (_LENGTH.pack(len(value)), value)
    return Binary(b"".join(parts))

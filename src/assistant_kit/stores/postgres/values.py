"""Values as Postgres takes them fastest."""

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD: Final = Struct("!iiIii")  # dimensions, whether there are nulls, type, length, first index
_LENGTH: Final = Struct("!i")
_INTEGER: Final = Struct("!ii")  # its length and itself
_INT4, _TEXT, _BYTEA = 23, 25, 17


class Array(bytes):
    """An array as Postgres sends and receives it: https://www.postgresql.org/docs/current/protocol-overview.html."""

    __slots__ = ()


class ArrayDumper(Dumper):
    """Hands an array over as it is; the statement says of which type it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Any) -> Buffer | None:
        """Return the bytes."""
        return obj


def texts(values: Iterable[str]) -> Array:
    """Return a `text[]`."""
    return _array(_TEXT, [value.encode() for value in values])


def blobs(values: Iterable[bytes]) -> Array:
    """Return a `bytea[]`."""
    return _array(_BYTEA, list(values))


def integers(values: Iterable[int]) -> Array:
    """Return an `integer[]`."""
    elements = [_INTEGER.pack(4, value) for value in values]
    return Array(b"".join([_HEAD.pack(1, 0, _INT4, len(elements), 1), *elements]))


def _array(kind: int, values: list[bytes]) -> Array:
    parts = [_HEAD.pack(1, 0, kind, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return Array(b"".join(parts))

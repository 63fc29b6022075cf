"""A connection that does not wait for ever, and values as Postgres takes them fastest."""

import math
import time
from collections.abc import Generator, Iterable
from struct import Struct
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

T = TypeVar("T")

_HEAD: Final = Struct("!iiIii")  # dimensions, whether there are nulls, type, length, first index
_LENGTH: Final = Struct("!i")
_INTEGER: Final = Struct("!ii")  # its length and itself
_INT4, _TEXT, _BYTEA = 23, 25, 17


class Session(psycopg.Connection[TupleRow]):
    """A connection that waits at most `patience` seconds for an answer.

    A server that has frozen answers neither with data nor with an error, and its machine still keeps the way open.
    """

    patience: float = math.inf

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer. Raises psycopg.OperationalError when there is none in time."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        begun = time.monotonic()
        ready: Any = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield wanted
            if not ready and time.monotonic() - begun > self.patience:
                self.patience = 0.0
                raise psycopg.OperationalError("no answer in time")


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

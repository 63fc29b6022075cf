"""What is used of a connection of apsw: its own types are incomplete before Python 3.12."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

Binding: TypeAlias = str | float | bytes | None
"""What can stand for a question mark."""


class Rows(Protocol):
    """The rows of a result, which come as they are asked for."""

    @property
    def get(self) -> Any:
        """The only value of the only row, the row if it has several values, None if there is none."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection to a file. Only one thread at a time may use it."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, statements: str, bindings: Sequence[Binding] = (), /) -> Rows:
        """Execute a statement."""
        ...

    def executemany(self, statements: str, bindings: Iterable[Sequence[Binding]], /) -> Rows:
        """Execute a statement for each of the bindings."""
        ...

    def last_insert_rowid(self) -> int:
        """Return the key of the row that was inserted last."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

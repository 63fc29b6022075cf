"""Where a journal file stands, and whether what a connection has open is still what stands there."""

import os
import sqlite3
from collections.abc import Callable
from threading import Lock
from typing import Final, Generic, TypeVar

from assistant_kit.errors import StoreUnavailable

C = TypeVar("C", bound=sqlite3.Connection)

_ADVICE: Final = (
    "it was deleted, moved or replaced while it was in use, and what was written last may be in the old one: "
    "put the file back, or use a new path"
)


class Place:
    """The path of a file, and what its threads share: `turn` is held by whoever writes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.turn: Lock = Lock()
        self.known = False

    def identity(self) -> tuple[int, int] | None:
        """Return what tells the file at the path from any other; None when there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  (a path may be any text)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def gone(self) -> StoreUnavailable:
        """Return what to raise when something else, or nothing, stands at the path."""
        return StoreUnavailable(f"{self.path}: {_ADVICE}")


class Opened(Generic[C]):
    """What one thread has open of a place."""

    def __init__(self, place: Place, open_file: Callable[[str], C]) -> None:
        self._place = place
        self._open_file = open_file
        self._identity: tuple[int, int] | None = None

    def connect(self) -> C:
        """Open the file, making it if it was never there. Raises StoreUnavailable, and what opening raises.

        A file that was there and is gone is not made anew: its journals would seem never to have been.
        """
        place = self._place
        if place.known and place.identity() is None:
            raise place.gone()
        connection = self._open_file(place.path)
        place.known = True
        self._identity = place.identity()
        return connection

    def stands(self) -> bool:
        """Tell whether what is open stands at the path."""
        return self._place.identity() == self._identity

    def check(self) -> None:
        """See that what is open stands at the path. Raises StoreUnavailable.

        SQLite would go on to write to a file that nobody can find any more. So this is asked after each write, before
        it is acknowledged: https://sqlite.org/howtocorrupt.html
        """
        if not self.stands():
            raise self._place.gone()

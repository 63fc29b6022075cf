"""A connection to Postgres that does not wait for ever, and what a server must be like to keep what it acknowledges."""

import math
import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import TupleRow

from assistant_kit.errors import StoreUnavailable, StoreVolatile

T = TypeVar("T")

OLDEST: Final = 140000
"""Postgres 14, as `server_version` says it."""


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


def check_version(place: str, version: int) -> None:
    """Refuse a server that is too old; versions are numbered as Postgres does. Raises StoreUnavailable."""
    if version < OLDEST:
        raise StoreUnavailable(f"{place}: the server says it is Postgres {version // 10000}: 14 is needed")


def check_settings(place: str, *, fsync: str, volatile: str, encoding: str, read_only: str, writes: bool) -> None:
    """Refuse a server that would not keep what it acknowledges, or cannot take it, by its own settings.

    `volatile` is its setting `assistant_kit.volatile`, which says that this is meant. Raises StoreUnavailable,
    StoreVolatile.
    """
    if encoding != "UTF8":
        raise StoreUnavailable(f"{place}: the database has the encoding {encoding}: give one with UTF8")
    if writes and read_only == "on":
        raise StoreUnavailable(f"{place}: the server is read only: give the address of the primary")
    if fsync != "on" and volatile != "on":
        problem = (
            "fsync is off; turn it on, or say that this is meant: ALTER DATABASE … SET assistant_kit.volatile = on"
        )
        raise StoreVolatile(place, problem)

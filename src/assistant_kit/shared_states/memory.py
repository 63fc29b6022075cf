"""Small values in this process: for one worker, and for tests."""

import time
from collections.abc import Callable, Mapping
from math import inf
from threading import Lock

from assistant_kit.protocols.shared_state import Change, T
from assistant_kit.shared_states._rules import check_keep, check_owner, check_spot

_SWEEP = 1024
"""Changes after which values that may be forgotten are: so a value that nobody asks for any more costs nothing."""


class MemoryState:
    """Values in a dictionary; event loops and threads may share one. `clock` is in seconds (default: since 1970)."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Make an empty place."""
        self._clock = clock
        self._values: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._lock = Lock()
        self._latest = -inf
        self._changes = 0

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        """Replace a value by what `change` makes of it. Raises InputError."""
        check_spot(owner, key)
        with self._lock:
            now = self._now()
            value, until = self._values.get((owner, key), (None, inf))
            before = value if until > now else None
            changed = change(before, now)
            check_keep(changed.keep)
            if changed.value is None:
                self._values.pop((owner, key), None)
            elif changed.value != before:
                self._values[owner, key] = (changed.value, now + changed.keep)
            self._changes += 1
            if self._changes % _SWEEP == 0:
                self._values = {place: kept for place, kept in self._values.items() if kept[1] > now}
            return changed.result

    async def values(self, owner: str) -> Mapping[str, bytes]:
        """Return all values of an owner by their keys. Raises InputError."""
        check_owner(owner)
        with self._lock:
            now = self._now()
            return {key: value for (of, key), (value, until) in self._values.items() if of == owner and until > now}

    async def erase(self, owner: str) -> None:
        """Delete all values of an owner. Raises InputError."""
        check_owner(owner)
        with self._lock:
            self._values = {place: kept for place, kept in self._values.items() if place[0] != owner}

    async def aclose(self) -> None:
        """Do nothing: there is nothing to free."""

    def _now(self) -> float:
        self._latest = max(self._latest, self._clock())
        return self._latest

"""Queues of runs that wait for one conversation: whoever came first goes first."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio

Key: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Line:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    runs: int = 0


class Lines:
    """A queue for each conversation that runs of this process stand in for; it is forgotten when nobody does."""

    def __init__(self) -> None:
        self._lines: dict[Key, _Line] = {}

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncGenerator[None]:
        """Wait until all who came before have gone."""
        line = self._lines.setdefault(key, _Line())
        line.runs += 1
        try:
            async with line.lock:
                yield
        finally:
            line.runs -= 1
            if line.runs == 0:
                del self._lines[key]

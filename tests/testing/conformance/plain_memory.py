"""A memory in the process that finds words and no meanings."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from anyio.lowlevel import checkpoint

from assistant_kit.errors import InputError
from assistant_kit.protocols.memory import Recalled, Remembered
from assistant_kit.protocols.search_index import Label, Where

LONGEST = 2_000
Memories = dict[str, Remembered]
"""The memories of a user, by their ids."""


class PlainMemory:
    """Memories that end with this object."""

    def __init__(self) -> None:
        self._kept: dict[str, Memories] = {}

    def for_user(self, user: str) -> "PlainUserMemory":
        if not user:
            raise InputError("a user has a name that is not empty")
        return PlainUserMemory(self._kept.setdefault(user, {}))

    async def open(self) -> None: ...

    async def prune(self, *, before: float) -> int:
        old = [(mine, one) for mine in self._kept.values() for one in mine.values() if one.updated_at < before]
        for mine, one in old:
            del mine[one.id]
        return len(old)

    async def aclose(self) -> None: ...


class PlainUserMemory:
    """What is remembered of one user. Nothing waits between a look and a change: tasks cannot come between."""

    def __init__(self, mine: Memories) -> None:
        self._mine = mine

    async def remember(
        self, text: str, *, source: str = "", labels: Mapping[str, Label] | None = None, replaces: str | None = None
    ) -> Remembered:
        await checkpoint()
        text = checked(text)
        old = self._mine.get(replaces or "")
        labels = dict(labels if labels is not None else old.labels if old else {})
        same = [one for one in self._mine.values() if one.text == text and kinds(one.labels) == kinds(labels)]
        now = time.time()
        known = old or next(iter(same), None) or Remembered(id=uuid4().hex, text=text, created_at=now)
        for one in same:
            del self._mine[one.id]
        self._mine[known.id] = replace(known, text=text, source=source, labels=labels, updated_at=now)
        return self._mine[known.id]

    async def recall(
        self, query: str, *, limit: int = 8, max_tokens: int | None = None, where: Where | None = None
    ) -> Sequence[Recalled]:
        await checkpoint()
        asked = words(query)
        scored = [Recalled(memory=one, score=len(asked & words(one.text))) for one in self._mine.values()]
        best = sorted((one for one in scored if one.score), key=lambda one: -one.score)
        found: list[Recalled] = []
        left = float("inf") if max_tokens is None else max_tokens
        for one in best:
            tokens = len(one.memory.text.encode())  # never too few
            if tokens <= left and fits(one.memory, where):
                left -= tokens
                found.append(one)
        return found[:limit]

    async def memories(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Remembered]:
        await checkpoint()
        return [one for name, one in sorted(self._mine.items()) if name > after and fits(one, where)][:limit]

    async def forget(self, memory: str) -> bool:
        await checkpoint()
        return self._mine.pop(memory, None) is not None

    async def erase(self) -> int:
        await checkpoint()
        count = len(self._mine)
        self._mine.clear()
        return count


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def kinds(labels: Mapping[str, object]) -> dict[str, tuple[type, object]]:
    """Labels with their types: 1 and True are equal for Python."""
    return {name: (type(value), value) for name, value in labels.items()}


def fits(memory: Remembered, where: Where | None) -> bool:
    where = where or Where()
    return (
        where.source in (None, memory.source)
        and (where.since is None or memory.updated_at >= where.since)
        and (where.until is None or memory.updated_at <= where.until)
        and kinds(where.labels).items() <= kinds(memory.labels).items()
    )


def checked(text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= LONGEST or "\0" in text or text != text.encode(errors="ignore").decode():
        raise InputError("a memory is a text of up to 2,000 characters, without NUL and lone surrogates")
    return text

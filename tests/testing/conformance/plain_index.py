"""A search index in the memory of the process that finds vectors and no words."""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import mul

from anyio.lowlevel import checkpoint

from assistant_kit.errors import IndexMismatch, InputError
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

NOWHERE = Where()


@dataclass(slots=True)
class Kept:
    """All that is kept: passages by owner and id, and what the vectors are."""

    passages: dict[str, dict[str, Passage]] = field(default_factory=dict[str, dict[str, Passage]])
    embedder: str = ""
    dimensions: int | None = None
    settled: bool = False


class PlainIndex:
    """Passages that end with this object."""

    def __init__(self) -> None:
        self._kept = Kept()

    def for_owner(self, owner: str) -> OwnedIndex:
        check(1 <= len(owner) <= 255 and storable(owner), "an owner")
        return PlainOwned(self._kept, owner)

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        kept = self._kept
        differs = (embedder and kept.embedder not in ("", embedder)) or dimensions not in (None, kept.dimensions)
        if kept.settled and differs:
            kept_as, given_as = f"{kept.embedder}/{kept.dimensions}", f"{embedder}/{dimensions}"
            raise IndexMismatch("this index", kept=kept_as, given=given_as)
        if embedder or dimensions:
            kept.embedder = embedder or kept.embedder
            kept.dimensions = dimensions or kept.dimensions

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        check(limit >= 1, "a limit")
        return sorted(owner for owner, passages in self._kept.passages.items() if passages and owner > after)[:limit]

    async def aclose(self) -> None: ...


class PlainOwned:
    def __init__(self, kept: Kept, owner: str) -> None:
        self._kept = kept
        self._owner = owner

    @property
    def _mine(self) -> dict[str, Passage]:
        return self._kept.passages.setdefault(self._owner, {})

    async def put(self, passages: Sequence[Passage]) -> None:
        dimensions = self._kept.dimensions
        for passage in passages:  # all is checked before anything is kept
            check_passage(passage)
            if passage.vector is not None:
                check_vector(passage.vector, dimensions)
                dimensions = len(passage.vector)
        self._kept.dimensions = dimensions
        self._kept.settled |= any(passage.vector is not None for passage in passages)
        self._mine.update({passage.id: passage for passage in passages})
        await checkpoint()

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        return [self._mine[name] for name in ids if name in self._mine]

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check(limit >= 1, f"a limit for {query!r} and {where}")
        return []

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check(limit >= 1, "a limit")
        check_vector(vector, self._kept.dimensions)
        found = [
            Hit(passage=replace(one, vector=None), score=sum(map(mul, vector, one.vector)))
            for one in self._mine.values()
            if one.vector is not None and fits(one, where)
        ]
        return sorted(found, key=lambda hit: (-hit.score, hit.passage.id))[:limit]

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check(limit >= 1, "a limit")
        mine = sorted(self._mine.items())  # characters and UTF-8 bytes have the same order
        return [one for name, one in mine if name > after and fits(one, where)][:limit]

    async def delete(self, ids: Sequence[str]) -> int:
        return sum(self._mine.pop(name, None) is not None for name in ids)

    async def delete_where(self, where: Where) -> int:
        check(where != NOWHERE, "a filter")
        return await self.delete([name for name, one in self._mine.items() if fits(one, where)])

    async def erase(self) -> int:
        return len(self._kept.passages.pop(self._owner, {}))


def fits(passage: Passage, where: Where | None) -> bool:
    where = where or NOWHERE
    return (
        where.source in (None, passage.source)
        and (where.since is None or passage.at >= where.since)
        and (where.until is None or passage.at <= where.until)
        and kinds(where.labels).items() <= kinds(passage.labels).items()
    )


def kinds(labels: Mapping[str, object]) -> dict[str, tuple[type, object]]:
    """Labels with their types: 1 and True are equal for Python."""
    return {name: (type(value), value) for name, value in labels.items()}


def check_passage(passage: Passage) -> None:
    check(1 <= len(passage.id) <= 255 and len(passage.source) <= 1000, "an id or a source")
    check(math.isfinite(passage.at), "a time")
    check(all(1 <= len(name) <= 255 for name in passage.labels), "the name of a label")
    check(all(isinstance(value, str) or good_number(value) for value in passage.labels.values()), "a label")
    values = (value for value in passage.labels.values() if isinstance(value, str))
    check(all(map(storable, (passage.id, passage.text, passage.source, *passage.labels, *values))), "a text")


def good_number(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def check_vector(vector: "array[float]", dimensions: int | None) -> None:
    check(dimensions in (None, len(vector)) and abs(math.hypot(*vector) - 1) < 0.01, "a vector")


def storable(text: str) -> bool:
    return "\0" not in text and text == text.encode(errors="ignore").decode()


def check(good: bool, what: str) -> None:  # noqa: FBT001  (reads like a sentence)
    if not good:
        raise InputError(f"{what} cannot be used here")

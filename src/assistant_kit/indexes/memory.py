"""An index in the memory of the process: for tests, and for up to a few thousand passages that may be lost."""

import heapq
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from threading import Lock
from typing import Final

from anyio.lowlevel import checkpoint

from assistant_kit.indexes._rules import (
    Space,
    check_deletable,
    check_limit,
    check_owner,
    check_page,
    check_vector,
    fits,
    known,
    latest,
    settled,
    space_of,
)
from assistant_kit.indexes._words import words
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

_PLACE: Final = "this index in memory"
_SATURATION: Final = 1.2
_LENGTH: Final = 0.75
"""`k1` and `b` of BM25, as SQLite's FTS5 has them."""


@dataclass(slots=True)
class _Owned:
    """What is kept of an owner: passages by id, how often each has each word, and their numbers of words."""

    passages: dict[str, Passage] = field(default_factory=dict[str, Passage])
    postings: defaultdict[str, dict[str, int]] = field(default_factory=lambda: defaultdict[str, dict[str, int]](dict))
    lengths: dict[str, int] = field(default_factory=dict[str, int])
    total: int = 0

    def put(self, passage: Passage) -> None:
        self.remove(passage.id)
        counts = Counter(words(passage.text))
        for word, count in counts.items():
            self.postings[word][passage.id] = count
        self.lengths[passage.id] = counts.total()
        self.total += counts.total()
        self.passages[passage.id] = _copy(passage)

    def remove(self, name: str) -> bool:
        passage = self.passages.pop(name, None)
        if passage is None:
            return False
        for word in set(words(passage.text)):
            found = self.postings[word]
            del found[name]
            if not found:
                del self.postings[word]
        self.total -= self.lengths.pop(name)
        return True

    def scores(self, query: str) -> dict[str, float]:
        """Return how well passages answer a question, by id: Okapi BM25 over this owner's passages alone."""
        found: defaultdict[str, float] = defaultdict(float)
        mean = self.total / (len(self.passages) or 1)
        for word in sorted(set(words(query))):
            having = self.postings.get(word, {})
            rarity = math.log1p((len(self.passages) - len(having) + 0.5) / (len(having) + 0.5))
            for name, count in having.items():
                size = 1 - _LENGTH + _LENGTH * self.lengths[name] / mean
                found[name] += rarity * count * (_SATURATION + 1) / (count + _SATURATION * size)
        return found


class _Places:
    """What an index keeps. `lock` is held for the time of a method's work, never while a task waits."""

    def __init__(self) -> None:
        self.lock: Lock = Lock()
        self.owners: dict[str, _Owned] = {}
        self._kept = Space()
        self._opened = Space()

    @property
    def dimensions(self) -> int | None:
        return self._kept.dimensions or self._opened.dimensions

    def open(self, given: Space) -> None:
        if self._kept.dimensions is None:
            self._opened = given.or_before(self._opened)
        else:
            self._kept = settled(_PLACE, kept=self._kept, given=given)

    def of(self, owner: str) -> _Owned:
        return self.owners.get(owner) or _Owned()

    def take(self, owner: str, passages: Sequence[Passage]) -> None:
        space = space_of(passages, place=_PLACE, kept=self._kept, opened=self._opened)
        if any(passage.vector is not None for passage in passages):
            self._kept, self._opened = space, Space()
        if passages:
            owned = self.owners.setdefault(owner, _Owned())
            for passage in passages:
                owned.put(passage)

    def remove(self, owner: str, names: Iterable[str]) -> int:
        owned = self.of(owner)
        count = sum(owned.remove(name) for name in names)
        if not owned.passages:
            self.owners.pop(owner, None)
        return count


class MemoryIndex:
    """Passages in this object; they end with it. A search looks at all of an owner's passages.

    Good for tests, and for a few thousand passages. Event loops and threads may share an index.
    """

    def __init__(self) -> None:
        self._places = _Places()

    def for_owner(self, owner: str) -> OwnedIndex:
        """Return the handle through which alone the passages of `owner` are reached. Raises InputError."""
        check_owner(owner)
        return _OwnedMemory(self._places, owner)

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        """Say what makes the vectors, and their length. Raises IndexMismatch."""
        await checkpoint()
        with self._places.lock:
            self._places.open(Space(embedder=embedder, dimensions=dimensions))

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return owners of passages behind `after`, in the order of their UTF-8 bytes."""
        await checkpoint()
        check_page(limit, after)
        with self._places.lock:
            return _behind(self._places.owners, after, limit)

    async def aclose(self) -> None:
        """Do nothing: the passages end with this object."""
        await checkpoint()


class _OwnedMemory:
    """The passages of one owner. Each search looks at all of them."""

    def __init__(self, places: _Places, owner: str) -> None:
        self._places = places
        self._owner = owner

    async def put(self, passages: Sequence[Passage]) -> None:
        await checkpoint()
        chosen = latest(passages)
        with self._places.lock:
            self._places.take(self._owner, chosen)

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        await checkpoint()
        with self._places.lock:
            passages = self._places.of(self._owner).passages
            return [_copy(passages[name]) for name in known(ids) if name in passages]

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        await checkpoint()
        check_limit(limit)
        with self._places.lock:
            owned = self._places.of(self._owner)
            found = ((score, owned.passages[name]) for name, score in owned.scores(query).items())
            return _best(((score, passage) for score, passage in found if fits(passage, where)), limit)

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        await checkpoint()
        check_limit(limit)
        with self._places.lock:
            check_vector(vector, self._places.dimensions)
            passages = self._places.of(self._owner).passages.values()
            fitting = (passage for passage in passages if fits(passage, where))
            return _best(((sum(map(mul, vector, one.vector)), one) for one in fitting if one.vector is not None), limit)

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        await checkpoint()
        check_page(limit, after)
        with self._places.lock:
            passages = self._places.of(self._owner).passages
            fitting = (name for name, passage in passages.items() if fits(passage, where))
            return [_copy(passages[name]) for name in _behind(fitting, after, limit)]

    async def delete(self, ids: Sequence[str]) -> int:
        await checkpoint()
        with self._places.lock:
            return self._places.remove(self._owner, known(ids))

    async def delete_where(self, where: Where) -> int:
        await checkpoint()
        check_deletable(where)
        with self._places.lock:
            passages = self._places.of(self._owner).passages.values()
            return self._places.remove(self._owner, [passage.id for passage in passages if fits(passage, where)])

    async def erase(self) -> int:
        await checkpoint()
        with self._places.lock:
            return len(self._places.owners.pop(self._owner, _Owned()).passages)


def _best(found: Iterable[tuple[float, Passage]], limit: int) -> list[Hit]:
    best = heapq.nsmallest(limit, found, key=lambda one: (-one[0], one[1].id))
    return [Hit(passage=replace(_copy(passage), vector=None), score=score) for score, passage in best]


def _behind(names: Iterable[str], after: str, limit: int) -> list[str]:
    """Return the first names behind `after`, in the order of their UTF-8 bytes: that of their characters."""
    return heapq.nsmallest(limit, (name for name in names if name > after))


def _copy(passage: Passage) -> Passage:
    """Return a passage that shares nothing that can be changed."""
    vector = None if passage.vector is None else array("f", passage.vector)
    return replace(passage, labels=dict(passage.labels), vector=vector)

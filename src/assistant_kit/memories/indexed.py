"""Memories in a search index: found by their words and by their meaning, kept once, the newer a little ahead."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, nextafter
from uuid import uuid4

import anyio

from assistant_kit.errors import ConfigurationError, InputError, ModelError
from assistant_kit.memories._passages import (
    LONG_OWNER,
    OWNER,
    checked_labels,
    checked_text,
    has_labels,
    kept_time,
    labels_of,
    owner_of,
    places_of,
    remembered,
    with_time,
)
from assistant_kit.memories._secrets import looks_secret
from assistant_kit.protocols.embedder import Embedder, Purpose, Vector
from assistant_kit.protocols.memory import Recalled, Remembered
from assistant_kit.protocols.search_index import Hit, Label, OwnedIndex, Passage, SearchIndex, Where
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.registry import UPPER_BOUND, load
from assistant_kit.retrieval import favour_recent, fuse, says_the_same, telling_words, within_budget
from assistant_kit.side_by_side import side_by_side

_log = logging.getLogger("assistant_kit.memory")

_DAY = 86_400.0
_READ = 4_000  # characters of a question that are searched for
_CANDIDATES = 4  # times the wanted number, from each search: what one has late the other may have early
_FEWEST = 20
_TWINS = 8
_OWNERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """How memories are kept and recalled.

    A memory has at most `max_characters`. What was last heard `half_life` seconds ago has lost half of
    `recency_share` of its score. The embedder has `patience` seconds for a question before words alone are
    searched. What is nearer than `min_cosine` is found by its vector. `refuses` tells what is not remembered.
    """

    max_characters: int = 2_000
    half_life: float = 90 * _DAY
    recency_share: float = 0.1
    patience: float = 5.0
    min_cosine: float = 0.0
    refuses: Callable[[str], bool] = looks_secret

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing could be remembered or compared."""
        if self.max_characters < 1 or not self.half_life > 0 or not self.patience > 0:
            raise ConfigurationError("MemorySettings: max_characters, half_life and patience are positive numbers")
        if not 0 <= self.recency_share <= 1:
            raise ConfigurationError("MemorySettings: recency_share is a number from 0 to 1")


class IndexMemory:
    """Memories in an index that other things may live in, too.

    Without an embedder they are found by their words alone. `counter` counts the tokens of what is recalled (default:
    their bytes, which is never too few). Index and embedder are closed with it. `now` is the time of day.
    """

    def __init__(
        self,
        index: SearchIndex,
        embedder: Embedder | None = None,
        *,
        counter: TokenCounter | None = None,
        settings: MemorySettings | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._index = index
        self._senses = _Senses(index, embedder)
        self._counter: TokenCounter = counter or load(UPPER_BOUND)()
        self._settings = settings or MemorySettings()
        self._now = now

    def for_user(self, user: str) -> "IndexUserMemory":
        """Return the handle through which alone the memories of `user` are reached. Raises InputError if empty."""
        return IndexUserMemory(
            self._index.for_owner(owner_of(user)),
            self._senses,
            counter=self._counter,
            settings=self._settings,
            now=self._now,
        )

    async def open(self) -> None:
        """Connect, and make what is needed. Raises StoreError, IndexMismatch."""
        await self._senses.open()

    async def prune(self, *, before: float) -> int:
        """Forget, of all users, what was last changed or heard before this time, in seconds since 1970."""
        await self._senses.open()
        old = Where(until=nextafter(before, -inf))
        return sum([await self._prune(prefix, old) for prefix in (LONG_OWNER, OWNER)])

    async def aclose(self) -> None:
        """Close the index and the embedder. May be called twice."""
        await self._senses.aclose()

    async def _prune(self, prefix: str, old: Where) -> int:
        """Forget what is like this of all owners whose name begins with `prefix`."""
        forgotten = 0
        after = prefix
        while owners := await self._index.owners(after=after, limit=_OWNERS):
            for owner in owners:
                if not owner.startswith(prefix):
                    return forgotten
                forgotten += await self._index.for_owner(owner).delete_where(old)
            after = owners[-1]
        return forgotten


class _Senses:
    """The embedder and the index that keeps its name: the index is told both before the first use."""

    def __init__(self, index: SearchIndex, embedder: Embedder | None) -> None:
        self._index = index
        self._embedder = embedder
        self._opened = False
        self._dimensions: int | None = None

    async def open(self) -> None:
        """Open the index once. Raises StoreError, IndexMismatch."""
        if self._opened:
            return
        dimensions = self._embedder.dimensions if self._embedder else None
        await self._tell(dimensions)
        self._dimensions = dimensions
        self._opened = True

    async def vector(self, text: str, purpose: Purpose) -> "Vector | None":
        """Return the vector of a text; None without an embedder. Raises ModelError, IndexMismatch."""
        if self._embedder is None:
            return None
        (vector,) = await self._embedder.embed([text], purpose=purpose)
        if len(vector) != self._dimensions:  # only now known, or not what it was
            await self._tell(len(vector))
            self._dimensions = len(vector)
        return vector

    async def aclose(self) -> None:
        """Close both."""
        await self._index.aclose()
        if self._embedder is not None:
            await self._embedder.aclose()

    async def _tell(self, dimensions: int | None) -> None:
        if self._embedder is None:
            await self._index.open()
        else:
            await self._index.open(embedder=self._embedder.name, dimensions=dimensions)


class IndexUserMemory:
    """The memories of one user, as `IndexMemory.for_user` gives them."""

    def __init__(
        self,
        passages: OwnedIndex,
        senses: _Senses,
        *,
        counter: TokenCounter,
        settings: MemorySettings,
        now: Callable[[], float],
    ) -> None:
        self._passages = passages
        self._senses = senses
        self._counter = counter
        self._settings = settings
        self._now = now

    async def remember(
        self, text: str, *, source: str = "", labels: Mapping[str, Label] | None = None, replaces: str | None = None
    ) -> Remembered:
        """Remember a text, once; see the protocol.

        Memories say the same when texts and labels are equal, or labels are and vectors nearly; then the newer words
        are kept. With `replaces` of a memory that does not exist, it is a new one; without labels, the old ones stay.
        Raises InputError, also for what looks like a password or the number of a card; ModelError, StoreError.
        """
        text = checked_text(text, most=self._settings.max_characters)
        if self._settings.refuses(text):
            raise InputError("this looks like a password, a key or the number of a card, which is not remembered")
        await self._senses.open()
        old = await self._one(replaces)
        kept_labels = checked_labels(labels) if labels is not None else labels_of(old) if old else {}
        twin, free = await self._same_text(text, kept_labels)
        vector = (twin and twin.vector) or await self._senses.vector(text, "document")
        twin = twin or await self._same_meaning(text, vector, kept_labels)
        found = old or twin
        now = kept_time(self._now())
        new = Passage(id=found.id if found else free, text=text, source=source, at=now, vector=vector)
        new = replace(new, labels=with_time(kept_labels, remembered(found).created_at if found else now))
        if found and says_the_same(found.text, text):
            new = replace(new, source=found.source or source)
        await self._passages.put([new])
        if twin and twin.id != new.id:
            await self._passages.delete([twin.id])
        return remembered(new)

    async def recall(
        self, query: str, *, limit: int = 8, max_tokens: int | None = None, where: Where | None = None
    ) -> Sequence[Recalled]:
        """Return the memories that bear on `query`; see the protocol.

        Both searches run at once. When the embedder fails or is too slow, words alone are searched and a warning is
        logged. Raises StoreError, IndexMismatch.
        """
        query = _question(query)
        if not query or limit < 1:
            return ()
        await self._senses.open()
        candidates = max(_FEWEST, _CANDIDATES * limit)
        rankings = await _at_once(
            lambda: self._passages.keywords(telling_words(query), limit=candidates, where=where),
            lambda: self._nearest(query, candidates, where),
        )
        settings = self._settings
        hits = fuse(rankings)
        hits = favour_recent(hits, now=self._now(), half_life=settings.half_life, share=settings.recency_share)
        if max_tokens is not None:
            hits = within_budget(hits, max_tokens, self._counter)
        return [Recalled(memory=remembered(hit.passage), score=hit.score) for hit in hits[:limit]]

    async def memories(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Remembered]:
        """Return memories in the order of their ids, behind `after`."""
        await self._senses.open()
        return [remembered(passage) for passage in await self._passages.page(limit=limit, after=after, where=where)]

    async def forget(self, memory: str) -> bool:
        """Forget a memory by its id, words and vector; tell whether it was there."""
        await self._senses.open()
        return await self._passages.delete([memory]) > 0

    async def erase(self) -> int:
        """Forget everything of this user, and return how many memories there were."""
        await self._senses.open()
        return await self._passages.erase()

    async def _one(self, memory: str | None) -> Passage | None:
        found = await self._passages.get([memory]) if memory else ()
        return found[0] if found else None

    async def _same_text(self, text: str, labels: Mapping[str, Label]) -> tuple[Passage | None, str]:
        """Return the memory of this text that stands in its place, if there is one, and a place that is free."""
        places = places_of(text, labels)
        taken = {passage.id: passage for passage in await self._passages.get(places)}
        for passage in taken.values():
            if says_the_same(passage.text, text) and has_labels(passage, labels):
                return passage, passage.id
        return None, next((place for place in places if place not in taken), uuid4().hex)

    async def _same_meaning(self, text: str, vector: "Vector | None", labels: Mapping[str, Label]) -> Passage | None:
        """Return a memory that says the same elsewhere: in other words, or as the new text of an older memory."""
        where = Where(labels=labels)
        if vector is None:
            hits = [replace(hit, score=0.0) for hit in await self._passages.keywords(text, limit=_TWINS, where=where)]
        else:
            hits = await self._passages.nearest(vector, limit=_TWINS, where=where)
        for hit in hits:
            if says_the_same(hit.passage.text, text, likeness=hit.score) and has_labels(hit.passage, labels):
                return hit.passage
        return None

    async def _nearest(self, query: str, limit: int, where: Where | None) -> Sequence[Hit]:
        vector: Vector | None = None
        try:
            with anyio.fail_after(self._settings.patience):
                vector = await self._senses.vector(query, "query")
        except (ModelError, TimeoutError) as problem:
            _log.warning(
                "memories are searched by words alone: the embedder failed: %s", problem or "no answer in time"
            )
        if vector is None:
            return ()
        hits = await self._passages.nearest(vector, limit=limit, where=where)
        return [hit for hit in hits if hit.score > self._settings.min_cosine]


def _question(text: str) -> str:
    """Return what is searched for: of a long text the beginning and the end."""
    text = text.strip()
    return text if len(text) <= _READ else f"{text[: _READ // 2]} {text[-_READ // 2 :]}"


async def _at_once(*searches: Callable[[], Awaitable[Sequence[Hit]]]) -> list[Sequence[Hit]]:
    """Search in several ways at the same time. The first failure cancels the others and leaves as itself."""
    rankings: list[Sequence[Hit]] = [() for _ in searches]

    async def search(number: int) -> None:
        rankings[number] = await searches[number]()

    await side_by_side([partial(search, number) for number in range(len(searches))], limit=len(searches))
    return rankings

"""Documents that can be searched: what changes in one is embedded and written, and nothing else."""

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import anyio.to_thread

from assistant_kit.documents.chunking import Chunk, ChunkSettings, EstimatedTokens, chunks_of
from assistant_kit.documents.document import Document
from assistant_kit.documents.limits import ReadLimits, Watch
from assistant_kit.documents.masking import Places, masked_document, masked_query, restored, restored_hits
from assistant_kit.documents.passages import FIRST, FoundPassage, found_in, passages_of
from assistant_kit.documents.reading import Data, read_document
from assistant_kit.errors import InputError, ModelError
from assistant_kit.protocols.embedder import Embedder, Purpose, Vector
from assistant_kit.protocols.masker import Masker, Origin, UserMasker
from assistant_kit.protocols.search_index import Hit, Label, OwnedIndex, Passage, SearchIndex, Where
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.retrieval import fuse, within_budget

_log = logging.getLogger("assistant_kit.documents")

_BATCH: Final = 128
"""Passages that are embedded and written together."""

_PAGE: Final = 500
_DEPTH: Final = 4
"""How many times more passages than asked for each ranking gives to the fusion."""

_FRAMING: Final = 60
"""Tokens around a passage in the answer of a tool: label, source, title, place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What became of a document's passages.

    Those `added` were embedded and written, those `moved` written with the vectors that they had, as their place
    changed, those `kept` not touched, and those `removed` are no longer in it.
    """

    source: str
    title: str
    added: int
    moved: int
    kept: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentInfo:
    """A document that can be searched. `at` is its time, in seconds since 1970."""

    source: str
    title: str
    chunks: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the index has of a passage, as far as it matters for bringing a document up to date."""

    source: str
    at: float
    labels: Mapping[str, Label]
    embedded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is searched for. In a query that a model wrote (`origin`), pseudonyms stand for values.

    `asker` masks it for the embedder where documents themselves are not masked.
    """

    text: str
    origin: Origin = "outside"
    asker: UserMasker | None = None


class Documents:
    """Documents in a search index: a collection that users share, or the documents of one user in it.

    Without an embedder they are found by their words alone. Users do not see each other's documents.
    """

    def __init__(
        self,
        index: SearchIndex,
        embedder: Embedder | None = None,
        *,
        collection: str = "shared",
        user: str | None = None,
        counter: TokenCounter | None = None,
        chunks: ChunkSettings | None = None,
        limits: ReadLimits | None = None,
        masker: Masker | None = None,
    ) -> None:
        """Take an index and what embeds its texts; the caller closes both, and the masker.

        With `user`, these are the documents of that user alone. `counter` counts the tokens of chunks and results
        (default: an estimate from their bytes). It has to count always alike, or documents are cut otherwise when they
        are added again. Raises InputError for a name that is empty or too long.

        With `masker`, texts, titles and headings of a user's documents reach index and embedder with pseudonyms, and
        what is searched for, too; all that is returned is clear. Sources and labels stay as they are: they are names
        of the application's. So do documents that users share: they have no user to whom pseudonyms could belong.
        """
        if not collection or user == "":
            raise InputError("a collection has a name, and so has a user")
        self.counter: TokenCounter = counter or EstimatedTokens()
        self.owner: str = _owner(collection, user)
        self._index = index
        self._embedder = embedder
        self._collection = collection
        self._chunks = chunks or ChunkSettings()
        self._limits = limits or ReadLimits()
        self._owned: OwnedIndex = index.for_owner(self.owner)
        self._masker = masker
        self.user_masker: UserMasker | None = None if masker is None or user is None else masker.for_user(user)
        self._opened = False

    def for_user(self, user: str) -> "Documents":
        """Return the documents of one user in the same collection: those of others behave as if they did not exist.

        Raises InputError for a name that is empty or too long.
        """
        return Documents(
            self._index,
            self._embedder,
            collection=self._collection,
            user=user,
            counter=self.counter,
            chunks=self._chunks,
            limits=self._limits,
            masker=self._masker,
        )

    async def add(
        self,
        source: str,
        data: Data,
        *,
        filename: str = "",
        media_type: str = "",
        title: str = "",
        labels: Mapping[str, Label] | None = None,
        at: float | None = None,
    ) -> Ingested:
        """Add a document, or bring it up to date: it then has the passages of `data`, and no others.

        `source` is its address or name. `labels` are for filters; `at` is its time in seconds since 1970 (default:
        when each passage was written). What is new is written before what is gone is deleted, so that an interrupted
        call leaves no document incomplete, and the next one finishes it. Two calls for one source at the same time
        may leave passages of both, until the next.

        Raises DocumentUnreadable, with nothing changed; InputError, IndexMismatch, StoreError, and ModelError of the
        embedder.
        """
        if not source:
            raise InputError("a document has a source: its address, or a name of your own")
        document = await read_document(
            data, source=source, filename=filename, media_type=media_type, title=title, limits=self._limits
        )
        stored, chunks = await self._cut(document)
        wanted = passages_of(stored, chunks, at=time.time() if at is None else at, labels=labels or {})
        await self._open()
        known = {name: kept async for name, kept in self._all(Where(source=source))}
        fresh = [passage for passage in wanted if not self._has(known.get(passage.id))]
        added = {passage.id for passage in fresh}
        moved = [
            passage
            for passage in wanted
            if passage.id not in added and _differs(known[passage.id], passage, timed=at is not None)
        ]
        gone = list(known.keys() - {passage.id for passage in wanted})
        await self._write(fresh)
        await self._rewrite(moved)
        removed = await self._delete(gone)
        return Ingested(
            source=source,
            title=document.title,
            added=len(fresh),
            moved=len(moved),
            kept=len(wanted) - len(fresh) - len(moved),
            removed=removed,
        )

    async def _delete(self, ids: Sequence[str]) -> int:
        return sum([await self._owned.delete(ids[begin : begin + _PAGE]) for begin in range(0, len(ids), _PAGE)])

    async def remove(self, source: str) -> int:
        """Remove a document, words and vectors, and return the number of its passages; 0 if there is none."""
        return await self._owned.delete_where(Where(source=source))

    async def sources(self, *, limit: int = 100, after: str = "") -> Sequence[DocumentInfo]:
        """Return documents in the order of their sources, behind `after`."""
        found = [kept async for _, kept in self._all(Where(labels=FIRST))]
        # Of an interrupted change there may be two: the newer one counts.
        newest = {kept.source: kept for kept in sorted(found, key=lambda kept: kept.at)}
        listed = [newest[source] for source in sorted(newest) if source > after][:limit]
        titles: Sequence[str] = [str(kept.labels["doc_title"]) for kept in listed]
        if self.user_masker is not None:
            titles = await self.user_masker.restore(titles)
        return [
            DocumentInfo(source=kept.source, title=title, chunks=int(kept.labels["doc_chunks"]), at=kept.at)
            for kept, title in zip(listed, titles, strict=True)
        ]

    async def search(
        self, query: str, *, limit: int = 6, max_tokens: int | None = None, where: Where | None = None
    ) -> Sequence[FoundPassage]:
        """Return the passages that bear on `query`, the best first: of its words and its meaning, by rank fusion.

        At most `limit` chunks of documents, of at most `max_tokens` together with what names them; chunks that follow
        each other become one passage. When the embedder fails, words alone are searched, and a warning is logged.
        Raises InputError for an empty query or a bad limit, StoreError, IndexMismatch.
        """
        return await search_all([self], query, limit=limit, max_tokens=max_tokens, where=where)

    async def passages(self) -> AsyncIterator[Passage]:
        """Return all passages of this owner, with their texts and vectors, in the order of their ids."""
        page = await self._owned.page(limit=_PAGE)
        while page:
            last = page[-1].id
            for passage in page if self.user_masker is None else await restored(page, self.user_masker):
                yield passage
            page = await self._owned.page(limit=_PAGE, after=last)

    async def erase(self) -> int:
        """Erase all documents of this owner, and return the number of their passages."""
        return await self._owned.erase()

    async def rankings(self, query: Query, *, limit: int, where: Where | None) -> list[Sequence[Hit]]:
        """Return what is found by words, and what is found by meaning, as it stands in the index."""
        masker = self.user_masker or query.asker
        masked = query.text if masker is None else await masked_query(query.text, masker, query.origin)
        words = query.text if self.user_masker is None else masked
        await self._open()
        rankings = [await self._owned.keywords(words, limit=limit, where=where)]
        if self._embedder is not None:
            try:
                (vector,) = await self._embedded(self._embedder, [masked], "query")
            except ModelError as error:
                _log.warning("documents are searched by their words alone: %s", error)
            else:
                rankings.append(await self._owned.nearest(vector, limit=limit, where=where))
        return rankings

    async def _cut(self, document: Document) -> tuple[Document, Sequence[Chunk]]:
        """Return a document and its chunks as the index gets them, each with its place in the clear text."""
        places: Places | None = None
        if self.user_masker is not None:
            watch = Watch(document.source, self._limits)
            document, places = await masked_document(document, self.user_masker, watch)
        watch = Watch(document.source, self._limits)
        try:
            cut = partial(self._chunks_of, document, places, watch)
            return document, await anyio.to_thread.run_sync(cut, abandon_on_cancel=True)
        finally:
            watch.leave()

    def _chunks_of(self, document: Document, places: Places | None, watch: Watch) -> Sequence[Chunk]:
        cut = partial(chunks_of, document, watch, counter=self.counter, settings=self._chunks)
        return cut() if places is None else [places.located(one) for one in cut(kept=places.pseudonyms)]

    async def _open(self) -> None:
        if not self._opened:
            if self._embedder is None:
                await self._index.open()
            else:
                await self._index.open(embedder=self._embedder.name, dimensions=self._embedder.dimensions)
            self._opened = True

    def _has(self, kept: _Kept | None) -> bool:
        """Tell whether the index has a passage, and its vector if there shall be one."""
        return kept is not None and (kept.embedded or self._embedder is None)

    async def _all(self, where: Where) -> AsyncIterator[tuple[str, _Kept]]:
        """Yield what is kept, by ids, without vectors and texts: those of a long document are many."""
        after = ""
        while page := await self._owned.page(limit=_PAGE, after=after, where=where):
            for passage in page:
                yield (
                    passage.id,
                    _Kept(
                        source=passage.source,
                        at=passage.at,
                        labels=passage.labels,
                        embedded=passage.vector is not None,
                    ),
                )
            after = page[-1].id

    async def _write(self, passages: Sequence[Passage]) -> None:
        for begin in range(0, len(passages), _BATCH):
            batch = passages[begin : begin + _BATCH]
            if self._embedder is not None:
                vectors = await self._embedded(self._embedder, [passage.text for passage in batch], "document")
                pairs = zip(batch, vectors, strict=True)
                batch = [replace(passage, vector=vector) for passage, vector in pairs]
            await self._owned.put(batch)

    async def _rewrite(self, passages: Sequence[Passage]) -> None:
        """Write passages with the vectors that they have already."""
        for begin in range(0, len(passages), _BATCH):
            batch = passages[begin : begin + _BATCH]
            kept = {passage.id: passage.vector for passage in await self._owned.get([one.id for one in batch])}
            await self._owned.put([replace(passage, vector=kept.get(passage.id)) for passage in batch])

    async def _embedded(self, embedder: Embedder, texts: Sequence[str], purpose: Purpose) -> Sequence[Vector]:
        vectors = await embedder.embed(texts, purpose=purpose)
        if embedder.dimensions is None:
            # Only now their length is known: is it that of the vectors in the index?
            await self._index.open(embedder=embedder.name, dimensions=len(vectors[0]))
        return vectors


async def search_all(
    places: Sequence[Documents],
    query: str | Query,
    *,
    limit: int,
    max_tokens: int | None = None,
    where: Where | None = None,
) -> Sequence[FoundPassage]:
    """Search several collections as if they were one; see `Documents.search`."""
    asked = Query(text=query) if isinstance(query, str) else query
    if not asked.text.strip():
        raise InputError("there is nothing to search for: the query is empty")
    if limit < 1:
        raise InputError(f"a search is for one passage at least, not {limit}")
    owners: dict[str, Documents] = {}
    rankings: list[Sequence[Hit]] = []
    for place in places:
        found = await place.rankings(asked, limit=limit * _DEPTH, where=where)
        rankings += found
        owners |= {hit.passage.id: place for hits in found for hit in hits if hit.passage.id not in owners}
    hits = await _in_clear(fuse(rankings)[:limit], owners)
    if max_tokens is not None:
        hits = within_budget(hits, max_tokens, places[0].counter, framing=_FRAMING)
    return found_in([(owners[hit.passage.id].owner, hit) for hit in hits])


async def _in_clear(hits: Sequence[Hit], owners: Mapping[str, Documents]) -> Sequence[Hit]:
    """Return what was found as its documents have it."""
    clear = {hit.passage.id: hit for hit in hits}
    for place in set(owners.values()):
        if place.user_masker is not None:
            theirs = [hit for hit in hits if owners[hit.passage.id] is place]
            clear |= {hit.passage.id: hit for hit in await restored_hits(theirs, place.user_masker)}
    return [clear[hit.passage.id] for hit in hits]


def _owner(collection: str, user: str | None) -> str:
    """Return the owner in the index. Other parts of an application may keep theirs in the same index."""
    name = "documents:" + collection.replace("%", "%25").replace(":", "%3A")
    return name if user is None else f"{name}:{user}"


def _differs(kept: _Kept, wanted: Passage, *, timed: bool) -> bool:
    return kept.labels != wanted.labels or (timed and kept.at != wanted.at)

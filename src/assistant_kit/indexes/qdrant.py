"""Passages in a collection of a Qdrant server: vectors beside words as sparse vectors. Needs the extra `qdrant`."""

import heapq
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, cast
from uuid import UUID, uuid5
from zlib import crc32

from assistant_kit.errors import MissingDependency, StoreError, StoreUnavailable
from assistant_kit.indexes._addresses import REQUEST_TIMEOUT, ServerAddress
from assistant_kit.indexes._remote import Held, Remote, RemoteIndex
from assistant_kit.indexes._rules import (
    Space,
    check_deletable,
    check_limit,
    check_vector,
    is_storable,
    known,
    latest,
)
from assistant_kit.indexes._words import words
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

try:
    from qdrant_client import QdrantClient, models
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException, UnexpectedResponse
except ImportError as _missing:
    raise MissingDependency("qdrant-client", "qdrant") from _missing

_NAMES: Final = UUID("6a0d3f5e-3a55-4a0c-9c7e-6f1c3b1f6f10")
_VECTOR: Final = "vector"
_WORDS: Final = "words"
_SPACE: Final = "assistant_kit"
_PAGE: Final = 1000
_CONFLICT: Final = 409
_FAILING: Final = 500

_SATURATION: Final = 1.2
_LENGTH: Final = 0.75
_USUAL: Final = 50
"""`k1` and `b` of BM25, and how many words passages have: Qdrant knows how rare a word is, not how long they are."""


class QdrantIndex(RemoteIndex):
    """Passages in `collection` of the server of `client`; it is made on first use.

    The client stays yours: it is not closed here, and its timeout bounds every request; in place of it a function may
    make one on first use, which is closed with the index. Blocking calls run in threads, so that event loops may share
    an index; a client in local mode is used by one thread at a time. Numbers of deleted passages are exact as long as
    one object deletes at a time.
    """

    def __init__(self, client: QdrantClient | Callable[[], QdrantClient], collection: str = "assistant_kit") -> None:
        super().__init__(_Collection(Held(client, QdrantClient.close), collection))
        self._name = collection

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the index of `qdrant://host:6333/collection`, by TLS with `qdrants://`; `:key@` may precede the host.

        Raises UnknownStore, ConfigurationError.
        """
        at = ServerAddress.read(address, plain="qdrant", secure="qdrants")
        port = 6333 if at.port is None else at.port

        def make() -> QdrantClient:
            return QdrantClient(
                host=at.host,
                port=port,
                https=at.secure,
                api_key=at.key,
                timeout=REQUEST_TIMEOUT,
                check_compatibility=False,
            )

        return cls(make, at.name) if at.name else cls(make)

    def __repr__(self) -> str:
        return f"QdrantIndex({self._name!r})"


class _Collection(Remote):
    """A collection, and what it keeps."""

    foreign = (UnexpectedResponse, ApiException, QdrantException, OSError)

    def __init__(self, held: Held[QdrantClient], name: str) -> None:
        super().__init__(f"Qdrant collection {name}", held.close)
        self._held = held
        self.name: str = name

    @property
    def client(self) -> QdrantClient:
        return self._held.get()

    def of_owner(self, owner: str) -> OwnedIndex:
        return _OwnedQdrant(self, owner)

    def meaning(self, error: Exception) -> StoreError:
        if isinstance(error, UnexpectedResponse):
            kind = StoreUnavailable if (error.status_code or 0) >= _FAILING else StoreError
            return kind(f"{self.place} refuses what was asked: {error}")
        return StoreUnavailable(f"{self.place} cannot be reached: {error!r}")

    def prepare(self) -> None:
        if not self.client.collection_exists(self.name):
            sparse = {_WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)}
            _unless_there(
                lambda: self.client.create_collection(self.name, vectors_config={}, sparse_vectors_config=sparse)
            )
            owner = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            self.client.create_payload_index(self.name, "owner", owner)
            for field in ("source", "labels"):
                self.client.create_payload_index(self.name, field, models.PayloadSchemaType.KEYWORD)
            self.client.create_payload_index(self.name, "at", models.PayloadSchemaType.FLOAT)
        self.look()

    def look(self) -> None:
        kept: dict[str, Any] = (self.client.get_collection(self.name).config.metadata or {}).get(_SPACE, {})
        self.kept = Space(**kept)

    def keep(self, space: Space) -> None:
        if space == self.kept:
            return
        size = space.dimensions
        if self.kept.dimensions is None and size is not None:
            # Vectors have the length 1: a product is a cosine, and what comes back is what was put.
            dense = models.DenseVectorConfig(size=size, distance=models.Distance.DOT)
            config = models.DenseVectorNameConfig(dense=dense)
            _unless_there(lambda: self.client.create_vector_name(self.name, _VECTOR, config))
        kept = {"embedder": space.embedder, "dimensions": space.dimensions}
        self.client.update_collection(self.name, metadata={_SPACE: kept})
        self.kept = space

    def owners(self) -> list[str]:
        found = self.client.facet(self.name, "owner", limit=2**31 - 1, exact=True)
        return [str(hit.value) for hit in found.hits]

    def scroll(self, fits: models.Filter) -> Iterator[str]:
        """Yield the ids of passages, in no order."""
        offset: Any = None
        while True:
            records, offset = self.client.scroll(self.name, fits, _PAGE, offset=offset, with_payload=["id"])
            yield from (str((record.payload or {})["id"]) for record in records)
            if offset is None:
                return


class _OwnedQdrant:
    """The passages of one owner: every request names the owner, in its filter or in the ids of points."""

    def __init__(self, collection: _Collection, owner: str) -> None:
        self._all = collection
        self._name = collection.name
        self._owner = owner

    @property
    def _client(self) -> QdrantClient:
        return self._all.client

    async def put(self, passages: Sequence[Passage]) -> None:
        chosen = latest(passages)

        def work() -> None:
            self._all.settle(chosen)
            if chosen:
                self._client.upsert(self._name, [self._point(one) for one in chosen])

        await self._all.ask(work)

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        return await self._all.ask(lambda: self._get(known(ids)))

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        asked, fits = sorted({crc32(word.encode()) for word in words(query)}), self._fitting(where)
        if not asked or fits is None:
            return []
        sparse = models.SparseVector(indices=asked, values=[1.0] * len(asked))
        # How rare a word is counts among this owner's passages: those of others change no order.
        corpus = models.IdfCorpusParams(corpus=models.Filter(must=[_is("owner", self._owner)]))
        params = models.SearchParams(idf=corpus)
        return await self._all.ask(lambda: self._hits(sparse, _WORDS, fits, limit, params))

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        fits = self._fitting(where)

        def work() -> list[Hit]:
            if self._all.kept.dimensions is None:
                self._all.look()
            check_vector(vector, self._all.kept.dimensions or self._all.opened.dimensions)
            if self._all.kept.dimensions is None or fits is None:
                return []
            return self._hits(vector.tolist(), _VECTOR, fits, limit, models.SearchParams(exact=True))

        return await self._all.ask(work)

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check_limit(limit)
        fits = self._fitting(where)
        if fits is None:
            return []
        return await self._all.ask(
            lambda: self._get(heapq.nsmallest(limit, (name for name in self._all.scroll(fits) if name > after)))
        )

    async def delete(self, ids: Sequence[str]) -> int:
        points: list[models.ExtendedPointId] = [self._id(name) for name in known(ids)]
        return await self._delete(models.Filter(must=[models.HasIdCondition(has_id=points)]))

    async def delete_where(self, where: Where) -> int:
        check_deletable(where)
        fits = self._fitting(where)
        return 0 if fits is None else await self._delete(fits)

    async def erase(self) -> int:
        return await self._delete(models.Filter(must=[_is("owner", self._owner)]))

    async def _delete(self, fits: models.Filter) -> int:
        def work() -> int:
            count = self._client.count(self._name, fits, exact=True).count
            self._client.delete(self._name, models.FilterSelector(filter=fits))
            return count

        return await self._all.ask(work)

    def _get(self, names: Sequence[str]) -> list[Passage]:
        points = self._client.retrieve(self._name, [self._id(name) for name in names], with_vectors=[_VECTOR])
        found = {one.id: one for one in (_passage(point.payload, point.vector) for point in points)}
        return [found[name] for name in names if name in found]

    def _hits(self, query: Any, using: str, fits: models.Filter, limit: int, params: models.SearchParams) -> list[Hit]:
        found = self._client.query_points(
            self._name, query, using=using, query_filter=fits, limit=limit, search_params=params
        )
        return [Hit(passage=_passage(point.payload, None), score=point.score) for point in found.points]

    def _id(self, name: str) -> str:
        return str(uuid5(_NAMES, f"{self._owner}\0{name}"))

    def _point(self, passage: Passage) -> models.PointStruct:
        vector: dict[str, Any] = {} if passage.vector is None else {_VECTOR: passage.vector.tolist()}
        counts = Counter(words(passage.text))
        usual = 1 - _LENGTH + _LENGTH * counts.total() / _USUAL
        weights: Counter[int] = Counter()
        for word, count in counts.items():
            weights[crc32(word.encode())] += count  # two words in some millions share a number
        if weights:
            values = [n * (_SATURATION + 1) / (n + _SATURATION * usual) for n in weights.values()]
            vector[_WORDS] = models.SparseVector(indices=list(weights), values=values)
        payload = {
            "owner": self._owner,
            "id": passage.id,
            "text": passage.text,
            "source": passage.source,
            "at": passage.at,
            "labels": [_label(name, value) for name, value in passage.labels.items()],
        }
        return models.PointStruct(id=self._id(passage.id), vector=vector, payload=payload)

    def _fitting(self, where: Where | None) -> models.Filter | None:
        """Return a filter that this owner's passages pass that are like `where`; None when it cannot be asked."""
        must: list[models.Condition] = [_is("owner", self._owner)]
        if where is None:
            return models.Filter(must=must)
        texts = [("labels", _label(name, value)) for name, value in where.labels.items()]
        if where.source is not None:
            texts.append(("source", where.source))
        if not all(is_storable(text) for _, text in texts):
            return None
        must += [_is(field, text) for field, text in texts]
        if (where.since, where.until) != (None, None):
            must.append(models.FieldCondition(key="at", range=models.Range(gte=where.since, lte=where.until)))
        return models.Filter(must=must)


def _label(name: str, value: object) -> str:
    """Return a label as text, so that of True, 1 and "1" none is taken for another."""
    return json.dumps([name, value], ensure_ascii=False)


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _passage(payload: dict[str, Any] | None, vectors: object) -> Passage:
    kept = cast("dict[str, Any]", payload)
    numbers = cast("dict[str, list[float]]", vectors or {}).get(_VECTOR)
    return Passage(
        id=kept["id"],
        text=kept["text"],
        source=kept["source"],
        at=kept["at"],
        labels=dict(json.loads(label) for label in kept["labels"]),
        vector=None if numbers is None else array("f", numbers),
    )


def _unless_there(make: Callable[[], object]) -> None:
    """Make what another process may have made meanwhile."""
    try:
        make()
    except UnexpectedResponse as error:
        if error.status_code != _CONFLICT:
            raise

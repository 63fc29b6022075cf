"""Passages in a collection of Weaviate, with a tenant for each owner. Needs the extra `weaviate`."""

import heapq
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Final, Self, TypeAlias, TypeVar, cast
from uuid import UUID, uuid5

from assistant_kit.errors import MissingDependency, StoreError, StoreUnavailable
from assistant_kit.indexes._addresses import REQUEST_TIMEOUT, ServerAddress
from assistant_kit.indexes._remote import Held, Remote, RemoteIndex
from assistant_kit.indexes._rules import (
    Space,
    check_deletable,
    check_limit,
    check_vector,
    fits,
    is_storable,
    known,
    latest,
)
from assistant_kit.indexes._words import words
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

try:
    from weaviate import WeaviateClient, connect_to_custom
    from weaviate.classes.config import (
        Configure,
        DataType,
        Property,
        StopwordsPreset,
        Tokenization,
        VectorDistances,
    )
    from weaviate.classes.data import DataObject
    from weaviate.classes.init import AdditionalConfig, Auth, Timeout
    from weaviate.classes.query import Filter, MetadataQuery
    from weaviate.collections import Collection
    from weaviate.exceptions import (
        UnexpectedStatusCodeError,
        WeaviateBaseError,
        WeaviateClosedClientError,
        WeaviateConnectionError,
        WeaviateQueryError,
        WeaviateStartUpError,
        WeaviateTimeoutError,
    )
except ImportError as _missing:
    raise MissingDependency("weaviate-client", "weaviate") from _missing

T = TypeVar("T")
_Objects: TypeAlias = Collection[Any, Any]
_Condition: TypeAlias = Any  # its class has no public name

_AWAY: Final = (
    *(WeaviateConnectionError, WeaviateStartUpError, WeaviateTimeoutError, WeaviateClosedClientError),
    OSError,
)
_NAMES: Final = UUID("1f5fd0f0-6f0b-4f0e-8f59-0d3f2a0c1b7e")
_VECTOR: Final = "vector"
_SPACE: Final = "assistant_kit"
"""A tenant that is no owner's: it says which vectors are kept."""

_MOST: Final = 10_000
"""Results of one request (QUERY_MAXIMUM_RESULTS)."""

_BATCH: Final = 500


class WeaviateIndex(RemoteIndex):
    """Passages in `collection` of the server of `client`, which is connected; the collection is made on first use.

    The client stays yours: it is not closed here, and its timeouts bound every request; in place of it a function may
    connect one on first use, which is closed with the index. Blocking calls run in threads, one at a time, so that
    event loops may share an index; `owners` asks every tenant. See docs/search-servers.md for what Weaviate does not
    promise.
    """

    def __init__(self, client: WeaviateClient | Callable[[], WeaviateClient], collection: str = "AssistantKit") -> None:
        super().__init__(_Everything(Held(client, WeaviateClient.close), collection))
        self._name = collection

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the index of `weaviate://host:8080/Collection?grpc_port=50051`, by TLS with `weaviates://` (443).

        `:key@` may precede the host. Raises UnknownStore, ConfigurationError.
        """
        at = ServerAddress.read(address, plain="weaviate", secure="weaviates", options=("grpc_port",))
        make = partial(
            connect_to_custom,
            http_host=at.host,
            http_port=at.port or (443 if at.secure else 8080),
            http_secure=at.secure,
            grpc_host=at.host,
            grpc_port=at.number("grpc_port", 50051),
            grpc_secure=at.secure,
            auth_credentials=None if at.key is None else Auth.api_key(at.key),
            additional_config=AdditionalConfig(timeout=Timeout(query=REQUEST_TIMEOUT, insert=REQUEST_TIMEOUT)),
            skip_init_checks=True,
        )
        return cls(make, at.name) if at.name else cls(make)

    def __repr__(self) -> str:
        return f"WeaviateIndex({self._name!r})"


class _Everything(Remote):
    """A collection, and what it keeps."""

    foreign = (WeaviateBaseError, OSError)

    def __init__(self, held: Held[WeaviateClient], name: str) -> None:
        super().__init__(f"Weaviate collection {name}", held.close)
        self._held = held
        self.name: str = name

    @property
    def client(self) -> WeaviateClient:
        return self._held.get()

    def of_owner(self, owner: str) -> OwnedIndex:
        return _OwnedWeaviate(self, owner)

    def meaning(self, error: Exception) -> StoreError:
        if isinstance(error, _AWAY):
            return StoreUnavailable(f"{self.place} cannot be reached: {error!r}")
        return StoreError(f"{self.place}: {error!r}")

    def prepare(self) -> None:
        self._make()
        self.look()

    def _make(self) -> None:
        if self.client.collections.exists(self.name):
            return
        try:
            self._create()
        except UnexpectedStatusCodeError:
            if not self.client.collections.exists(self.name):  # another process has made it meanwhile
                raise

    def _create(self) -> None:
        hidden = partial(Property, data_type=DataType.TEXT, index_filterable=False, index_searchable=False)
        tags = partial(Property, data_type=DataType.TEXT_ARRAY, tokenization=Tokenization.FIELD)
        said = partial(Property, data_type=DataType.TEXT, tokenization=Tokenization.WHITESPACE)
        exact = Configure.VectorIndex.flat(distance_metric=VectorDistances.COSINE)
        self.client.collections.create(
            self.name,
            properties=[
                *(hidden(name=name) for name in ("owner", "name", "text")),
                tags(name="tags", index_searchable=False),
                said(name="words", index_filterable=False),
                Property(name="at", data_type=DataType.NUMBER, index_range_filters=True),
            ],
            vector_config=Configure.Vectors.self_provided(name=_VECTOR, vector_index_config=exact),
            inverted_index_config=Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
            multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_creation=True),
        )

    def of(self, tenant: str) -> "_Objects":
        return self.client.collections.use(self.name).with_tenant(tenant)

    def or_nothing(self, tenant: str, ask: Callable[["_Objects"], T], nothing: T) -> T:
        """Ask a tenant; one that does not exist has nothing."""
        try:
            return ask(self.of(tenant))
        except WeaviateQueryError:
            if not self.client.collections.use(self.name).tenants.exists(tenant):
                return nothing
            return ask(self.of(tenant))  # another process has made it meanwhile, or it fails again

    def look(self) -> None:
        ids = [_id(_SPACE, "")]
        for noted in self.or_nothing(_SPACE, lambda some: some.query.fetch_objects_by_ids(ids, limit=1).objects, []):
            self.kept = Space(**json.loads(str(noted.properties["text"])))

    def keep(self, space: Space) -> None:
        if space != self.kept:
            noted = json.dumps({"embedder": space.embedder, "dimensions": space.dimensions})
            self.put(_SPACE, [DataObject(properties={"text": noted}, uuid=_id(_SPACE, ""))])
            self.kept = space

    def put(self, tenant: str, objects: Sequence[DataObject[Any, None]]) -> None:
        done = self.of(tenant).data.insert_many(objects)
        if done.has_errors:
            raise StoreError(f"{self.place} refuses {len(done.errors)} passages: {next(iter(done.errors.values()))}")

    def owners(self) -> Iterator[str]:
        for tenant in self.client.collections.use(self.name).tenants.get():
            if tenant != _SPACE:
                for one in self.of(tenant).query.fetch_objects(limit=1, return_properties=["owner"]).objects:
                    yield str(one.properties["owner"])


class _OwnedWeaviate:
    """The passages of one owner: those of a tenant."""

    def __init__(self, everything: _Everything, owner: str) -> None:
        self._all = everything
        self._owner = owner
        self._tenant = sha256(owner.encode()).hexdigest()

    async def put(self, passages: Sequence[Passage]) -> None:
        chosen = latest(passages)

        def work() -> None:
            self._all.settle(chosen)
            if chosen:
                self._all.put(self._tenant, [self._object(one) for one in chosen])

        await self._all.ask(work)

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        return await self._all.ask(lambda: self._get(known(ids)))

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        said, like = " ".join(words(query)), _conditions(where)
        if not said or like is None:
            return []
        return await self._hits(
            lambda some: some.query.bm25(
                said,
                query_properties=["words"],
                limit=min(limit, _MOST),
                filters=_all_of(like),
                return_metadata=MetadataQuery(score=True),
            )
        )

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        like = _conditions(where)

        def ask(some: _Objects) -> Any:
            return some.query.near_vector(
                vector.tolist(),
                target_vector=_VECTOR,
                limit=min(limit, _MOST),
                filters=_all_of(like or []),
                return_metadata=MetadataQuery(distance=True),
            )

        def check() -> bool:
            if self._all.kept.dimensions is None:
                self._all.look()
            check_vector(vector, self._all.kept.dimensions or self._all.opened.dimensions)
            return self._all.kept.dimensions is not None and like is not None

        return await self._hits(ask) if await self._all.ask(check) else []

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check_limit(limit)

        def work() -> list[Passage]:
            found = (one for one in self._each() if one.id > after and fits(one, where))
            return self._get([one.id for one in heapq.nsmallest(limit, found, key=lambda one: one.id)])

        return await self._all.ask(work)

    async def delete(self, ids: Sequence[str]) -> int:
        return await self._all.ask(lambda: self._delete(known(ids)))

    async def delete_where(self, where: Where) -> int:
        check_deletable(where)
        return await self._all.ask(lambda: self._delete([one.id for one in self._each() if fits(one, where)]))

    async def erase(self) -> int:
        def work() -> int:
            count = sum(1 for _ in self._each())
            if count:
                self._all.client.collections.use(self._all.name).tenants.remove([self._tenant])
            return count

        return await self._all.ask(work)

    def _each(self) -> Iterator[Passage]:
        """Yield all passages without their vectors, in no order that is of use."""
        last: UUID | None = None
        while True:
            page = self._objects(lambda some, last=last: some.query.fetch_objects(limit=_BATCH, after=last))
            if not page:
                return
            last = page[-1].uuid
            yield from (_passage(one.properties, None) for one in page)

    def _get(self, names: Sequence[str]) -> list[Passage]:
        found: dict[str, Passage] = {}
        for start in range(0, len(names), _BATCH):
            ids = [_id(self._owner, name) for name in names[start : start + _BATCH]]
            page = self._objects(
                lambda some, ids=ids: some.query.fetch_objects_by_ids(ids, limit=len(ids), include_vector=True)
            )
            found |= {one.id: one for one in (_passage(each.properties, each.vector) for each in page)}
        return [found[name] for name in names if name in found]

    def _delete(self, names: Sequence[str]) -> int:
        count = 0
        for start in range(0, len(names), _BATCH):
            ids = [_id(self._owner, name) for name in names[start : start + _BATCH]]
            condition = Filter.by_id().contains_any(ids)
            count += self._all.or_nothing(
                self._tenant, lambda some, where=condition: some.data.delete_many(where=where).successful, 0
            )
        return count

    async def _hits(self, ask: Callable[["_Objects"], Any]) -> list[Hit]:
        found = await self._all.ask(lambda: self._objects(ask))
        return [Hit(passage=_passage(one.properties, None), score=_score(one.metadata)) for one in found]

    def _objects(self, ask: Callable[["_Objects"], Any]) -> list[Any]:
        return self._all.or_nothing(self._tenant, lambda some: list(ask(some).objects), [])

    def _object(self, passage: Passage) -> DataObject[Any, None]:
        labels = [_tag(name, value) for name, value in passage.labels.items()]
        properties = {
            "owner": self._owner,
            "name": passage.id,
            "text": passage.text,
            "words": " ".join(words(passage.text)),
            "at": passage.at,
            "tags": [_tag("", passage.source), *labels],
        }
        vector = None if passage.vector is None else {_VECTOR: passage.vector.tolist()}
        return DataObject(properties=properties, uuid=_id(self._owner, passage.id), vector=vector)


def _id(owner: str, name: str) -> UUID:
    return uuid5(_NAMES, f"{owner}\0{name}")


def _tag(name: str, value: object) -> str:
    """Return a label as text, so that of True, 1 and "1" none is taken for another; a source has no name.

    Weaviate cuts blanks off the ends of values: here they stand inside of brackets.
    """
    return json.dumps([name, value], ensure_ascii=False)


def _conditions(where: Where | None) -> list[_Condition] | None:
    """Return a filter as conditions; None for one that nothing passes, as it asks for what cannot be stored."""
    if where is None:
        return []
    pairs: list[tuple[str, object]] = [*where.labels.items()]
    if where.source is not None:
        pairs.append(("", where.source))
    tags = [_tag(name, value) for name, value in pairs]
    if not all(map(is_storable, tags)):
        return None
    found = [Filter.by_property("tags").contains_all(tags)] if tags else []
    if where.since is not None:
        found.append(Filter.by_property("at").greater_or_equal(where.since))
    if where.until is not None:
        found.append(Filter.by_property("at").less_or_equal(where.until))
    return found


def _all_of(conditions: list[_Condition]) -> _Condition | None:
    return Filter.all_of(conditions) if conditions else None


def _score(metadata: Any) -> float:
    return float(metadata.score) if metadata.distance is None else 1 - float(metadata.distance)


def _passage(properties: Mapping[str, Any], vectors: object) -> Passage:
    (_, source), *labels = (json.loads(tag) for tag in properties["tags"])
    numbers = cast("dict[str, list[float]]", vectors or {}).get(_VECTOR)
    return Passage(
        id=properties["name"],
        text=properties["text"],
        source=source,
        at=properties["at"],
        labels=dict(labels),
        vector=array("f", numbers) if numbers else None,
    )

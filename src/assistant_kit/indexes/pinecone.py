"""Passages in an index of Pinecone, found by their vectors alone. Needs the extra `pinecone`."""

import json
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from assistant_kit.errors import ConfigurationError, InputError, MissingDependency, StoreError, StoreUnavailable
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
    settled,
    space_of,
)
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

try:
    from pinecone import Pinecone
    from pinecone.errors.exceptions import (
        PineconeConnectionError,
        PineconeError,
        PineconeTimeoutError,
        ServiceError,
    )
    from pinecone.index import Index
except ImportError as _missing:
    raise MissingDependency("pinecone", "pinecone") from _missing

MAX_NAME: Final = 255
"""Bytes of an owner or an id: Pinecone takes 512 ASCII characters, and two of them stand for a byte."""

MAX_METADATA: Final = 40 * 1024
"""Bytes of what is kept beside a vector, the text included: https://docs.pinecone.io/reference/api/database-limits."""

_MOST: Final = 10_000  # matches of a query
_BATCH: Final = 100  # vectors of a request
_ADDRESS: Final = 6000  # characters of ids in one address
_SPACE: Final = ("assistant_kit", "space")  # a namespace that is no owner's, and its only record


class PineconeIndex(RemoteIndex):
    """Passages in the Pinecone index of `index`, which has a dimension and the metric `cosine` or `dotproduct`.

    Each owner has a namespace. The client object stays yours: it is not closed here, and its timeout bounds every
    request; in place of it a function may make one on first use, which is closed with the index. `place` names it in
    errors. Blocking calls run in threads, one at a time, so that event loops may share an index. Pinecone shows what
    was put only after a while, and takes more than 100 passages in several requests: see docs/search-servers.md.
    """

    def __init__(self, index: Index | Callable[[], Index], *, place: str = "") -> None:
        self._name = place or ("" if callable(index) else index.host)
        super().__init__(_Records(Held(index, Index.close), self._name))

    def __repr__(self) -> str:
        return f"PineconeIndex({self._name!r})"

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the index of `pinecone://its-name`, or of `pinecone://its.host`, which saves asking where it is.

        The key is in the address, before the host (`:key@`), or in the environment: `PINECONE_API_KEY`. With
        `pinecone+http://host:port` there is no TLS: for Pinecone Local. Raises UnknownStore, ConfigurationError.
        """
        at = ServerAddress.read(address, plain="pinecone+http", secure="pinecone")
        key = at.key or os.environ.get("PINECONE_API_KEY")
        if not key:
            raise ConfigurationError("Pinecone wants a key: set PINECONE_API_KEY, or write pinecone://:key@index")
        if at.name:
            raise ConfigurationError("an address of Pinecone has no path: each owner has a namespace of the index")
        where = at.host if at.port is None else f"{at.host}:{at.port}"

        def make() -> Index:
            host = f"{'https' if at.secure else 'http'}://{where}"
            if at.secure and "." not in at.host:
                with Pinecone(key, timeout=REQUEST_TIMEOUT) as everything, everything.index(at.host) as found:
                    host = found.host
            return Index(host=host, api_key=key, timeout=REQUEST_TIMEOUT)

        return cls(make, place=where)


class _Records(Remote):
    """What is asked of Pinecone."""

    foreign = (PineconeError,)

    def __init__(self, held: Held[Index], name: str) -> None:
        super().__init__(f"Pinecone index {name}", held.close)
        self._held = held

    @property
    def client(self) -> Index:
        return self._held.get()

    def of_owner(self, owner: str) -> OwnedIndex:
        return _OwnedPinecone(self, owner)

    def meaning(self, error: Exception) -> StoreError:
        if isinstance(error, (PineconeConnectionError, PineconeTimeoutError, ServiceError)):
            return StoreUnavailable(f"{self.place} cannot be reached: {error!r}")
        return StoreError(f"{self.place} refuses what was asked: {error!r}")

    def prepare(self) -> None:
        self.look()

    def look(self) -> None:
        found = self.fetch(_SPACE[0], [_SPACE[1]]).get(_SPACE[1])
        embedder: str = "" if found is None else found.metadata["embedder"]
        self.kept = Space(embedder=embedder, dimensions=self.client.describe_index_stats().dimension)

    def open(self, given: Space) -> None:
        self.look()
        settled(self.place, kept=self.kept, given=given)
        self.opened = given  # its name is noted with the first vector

    def settle(self, passages: Sequence[Passage]) -> None:
        if not self.kept.embedder:
            self.look()
        space = space_of(passages, place=self.place, kept=self.kept, opened=self.opened)
        if any(one.vector is not None for one in passages):
            self.keep(space)

    def keep(self, space: Space) -> None:
        if space != self.kept:
            noted = {"id": _SPACE[1], "values": self.anywhere(), "metadata": {"embedder": space.embedder}}
            self.client.upsert(vectors=[noted], namespace=_SPACE[0])
            self.kept = space

    def anywhere(self) -> list[float]:
        """Return a vector for what has none, as Pinecone keeps nothing without one."""
        return [1.0, *[0.0] * ((self.kept.dimensions or 1) - 1)]

    def owners(self) -> Iterator[str]:
        token: str | None = None
        while True:
            page = self.client.list_namespaces_paginated(limit=_BATCH, pagination_token=token)
            yield from (_named(one.name) for one in page.namespaces if one.name != _SPACE[0] and one.record_count)
            token = page.pagination.next if page.pagination else None
            if not token:
                return

    def names(self, namespace: str) -> Iterator[str]:
        """Yield the ids of passages."""
        token: str | None = None
        while True:
            page = self.client.list_paginated(namespace=namespace, limit=_BATCH, pagination_token=token)
            yield from (_named(one.id) for one in page.vectors if one.id is not None)
            token = page.pagination.next if page.pagination else None
            if not token:
                return

    def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, Any]:
        """Return records by their ids; they stand in the address, which has a length."""
        found: dict[str, Any] = {}
        for some in _portions(ids):
            found |= self.client.fetch(ids=some, namespace=namespace).vectors
        return found


class _OwnedPinecone:
    """The passages of one owner: those of a namespace."""

    def __init__(self, records: _Records, owner: str) -> None:
        self._all = records
        self._namespace = _coded(owner)

    async def put(self, passages: Sequence[Passage]) -> None:
        chosen = latest(passages)

        def work() -> None:
            self._all.settle(chosen)
            vectors = [self._record(one) for one in chosen]
            for start in range(0, len(vectors), _BATCH):
                self._all.client.upsert(vectors=vectors[start : start + _BATCH], namespace=self._namespace)

        await self._all.ask(work)

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        return await self._all.ask(lambda: self._get(known(ids)))

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        del query, where
        check_limit(limit)
        return []

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        asked = _filter(where)

        def work() -> list[Hit]:
            check_vector(vector, self._all.kept.dimensions)
            if asked is None:
                return []
            found = self._all.client.query(
                vector=vector.tolist(),
                top_k=min(limit, _MOST),
                namespace=self._namespace,
                filter=asked,
                include_metadata=True,
            )
            return [Hit(passage=_passage(one.metadata, None), score=one.score) for one in found.matches]

        return await self._all.ask(work)

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check_limit(limit)

        def work() -> list[Passage]:
            names = sorted(name for name in self._all.names(self._namespace) if name > after)
            found: list[Passage] = []
            for start in range(0, len(names), _BATCH):
                found += [one for one in self._get(names[start : start + _BATCH]) if fits(one, where)]
                if len(found) >= limit:
                    break
            return found[:limit]

        return await self._all.ask(work)

    async def delete(self, ids: Sequence[str]) -> int:
        return await self._all.ask(lambda: self._delete([one.id for one in self._get(known(ids))]))

    async def delete_where(self, where: Where) -> int:
        check_deletable(where)

        def work() -> int:
            names = list(self._all.names(self._namespace))
            return self._delete([one.id for one in self._get(names) if fits(one, where)])

        return await self._all.ask(work)

    async def erase(self) -> int:
        def work() -> int:
            count = sum(1 for _ in self._all.names(self._namespace))
            if count:
                self._all.client.delete_namespace(name=self._namespace)
            return count

        return await self._all.ask(work)

    def _get(self, names: Sequence[str]) -> list[Passage]:
        coded = {name: _coded(name) for name in names if len(name.encode()) <= MAX_NAME}
        found = self._all.fetch(self._namespace, list(coded.values()))
        records = [found[code] for code in coded.values() if code in found]
        return [_passage(record.metadata, record.values) for record in records]

    def _delete(self, names: Sequence[str]) -> int:
        for start in range(0, len(names), _BATCH):
            ids = [_coded(name) for name in names[start : start + _BATCH]]
            self._all.client.delete(ids=ids, namespace=self._namespace)
        return len(names)

    def _record(self, passage: Passage) -> dict[str, Any]:
        metadata = {
            "id": passage.id,
            "text": passage.text,
            "source": passage.source,
            "at": passage.at,
            "labels": [_label(name, value) for name, value in passage.labels.items()],
            "has_vector": passage.vector is not None,
        }
        size = len(json.dumps(metadata, ensure_ascii=False).encode())
        if size > MAX_METADATA:
            raise InputError(f"passage {passage.id!r} has {size} bytes, and Pinecone keeps {MAX_METADATA}: cut it")
        values = self._all.anywhere() if passage.vector is None else passage.vector.tolist()
        return {"id": _coded(passage.id), "values": values, "metadata": metadata}


def _filter(where: Where | None) -> dict[str, Any] | None:
    """Return a filter as Pinecone has it; None for one that nothing passes, as it asks for what cannot be stored."""
    conditions: list[dict[str, Any]] = [{"has_vector": {"$eq": True}}]
    if where is not None:
        texts = [("labels", "$in", _label(name, value)) for name, value in where.labels.items()]
        if where.source is not None:
            texts.append(("source", "$eq", where.source))
        if not all(is_storable(text) for _, _, text in texts):
            return None
        conditions += [{field: {sign: [text] if sign == "$in" else text}} for field, sign, text in texts]
        bounds = {"$gte": where.since, "$lte": where.until}
        conditions += [{"at": {sign: bound}} for sign, bound in bounds.items() if bound is not None]
    return {"$and": conditions}


def _label(name: str, value: object) -> str:
    """Return a label as text, so that of True, 1 and "1" none is taken for another."""
    return json.dumps([name, value], ensure_ascii=False)


def _passage(metadata: Mapping[str, Any] | None, values: Sequence[float] | None) -> Passage:
    kept = metadata or {}
    return Passage(
        id=kept["id"],
        text=kept["text"],
        source=kept["source"],
        at=kept["at"],
        labels=dict(json.loads(label) for label in kept["labels"]),
        vector=array("f", values) if values and kept["has_vector"] else None,
    )


def _coded(name: str) -> str:
    """Return a name in ASCII. Raises InputError for one that is too long then."""
    raw = name.encode()
    if len(raw) > MAX_NAME:
        raise InputError(f"Pinecone keeps names of up to {MAX_NAME} bytes, and {name[:20]!r}… has {len(raw)}")
    return raw.hex()


def _named(coded: str) -> str:
    return bytes.fromhex(coded).decode()


def _portions(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield ids in portions that fit an address."""
    portion: list[str] = []
    for one in ids:
        if portion and (len(portion) == _BATCH or sum(map(len, portion)) + len(one) > _ADDRESS):
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion

"""An index that fails on demand, as one does whose process is killed, and an embedder that counts."""

from collections.abc import Sequence

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import ModelUnreachable, StoreUnavailable
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.protocols.embedder import Purpose, Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where


class CountingEmbedder:
    """Counts texts and queries that it embeds; `down` lets it fail, `tells` whether it knows its dimensions."""

    def __init__(self, dimensions: int = 64, *, tells: bool = True) -> None:
        self.texts: list[str] = []
        self.queries: list[str] = []
        self.down = False
        self._inner = HashingEmbedder(dimensions)
        self._tells = tells

    @property
    def name(self) -> str:
        return "counting"

    @property
    def dimensions(self) -> int | None:
        return self._inner.dimensions if self._tells else None

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        if self.down:
            raise ModelUnreachable("nobody answers", model=self.name)
        kept = self.texts if purpose == "document" else self.queries
        kept += texts
        return await self._inner.embed(texts, purpose=purpose)

    async def aclose(self) -> None:
        await self._inner.aclose()


class FlakyIndex:
    """Fails at write number `fail_at`, and at all that follow, until it is set to 0."""

    def __init__(self) -> None:
        self.inner = MemoryIndex()
        self.fail_at = 0
        self.writes = 0

    def write(self) -> None:
        self.writes += 1
        if 0 < self.fail_at <= self.writes:
            raise StoreUnavailable("the process was killed")

    def for_owner(self, owner: str) -> OwnedIndex:
        return _Owned(self, self.inner.for_owner(owner))

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        await self.inner.open(embedder=embedder, dimensions=dimensions)

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        return await self.inner.owners(after=after, limit=limit)

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Owned:
    def __init__(self, index: FlakyIndex, inner: OwnedIndex) -> None:
        self._index = index
        self._inner = inner

    async def put(self, passages: Sequence[Passage]) -> None:
        self._index.write()
        await self._inner.put(passages)

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        return await self._inner.get(ids)

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        return await self._inner.keywords(query, limit=limit, where=where)

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        return await self._inner.nearest(vector, limit=limit, where=where)

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        return await self._inner.page(limit=limit, after=after, where=where)

    async def delete(self, ids: Sequence[str]) -> int:
        self._index.write()
        return await self._inner.delete(ids)

    async def delete_where(self, where: Where) -> int:
        self._index.write()
        return await self._inner.delete_where(where)

    async def erase(self) -> int:
        self._index.write()
        return await self._inner.erase()

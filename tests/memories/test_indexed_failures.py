"""What a memory does when the embedder or the index fails, or is not the one it was."""

import logging
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import IndexMismatch, ModelUnreachable, StoreUnavailable
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.indexed import IndexMemory, MemorySettings
from assistant_kit.protocols.embedder import Embedder
from assistant_kit.protocols.memory import Recalled
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Where
from tests.memories.meanings import Down, Endless, Meanings

pytestmark = pytest.mark.anyio
TEA, COFFEE = "The user likes tea.", "The user likes coffee."
DIRECTIONS = {TEA: (1.0, 0.0), COFFEE: (0.8, 0.6), "hot drinks": (1.0, 0.0)}


def memory_with(embedder: Embedder, *, settings: MemorySettings | None = None) -> IndexMemory:
    return IndexMemory(MemoryIndex(), embedder, settings=settings)


def texts(found: Sequence[Recalled]) -> list[str]:
    return [recalled.memory.text for recalled in found]


async def test_an_embedder_that_is_down_leaves_the_words(caplog: pytest.LogCaptureFixture) -> None:
    embedder = Down()
    memory = memory_with(embedder).for_user("u1")
    embedder.down = False
    await memory.remember(TEA)
    embedder.down = True
    assert texts(await memory.recall("tea")) == [TEA]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(ModelUnreachable):
        await memory.remember(COFFEE)


async def test_an_embedder_that_does_not_answer_leaves_the_words(caplog: pytest.LogCaptureFixture) -> None:
    embedder = Endless()
    memory = memory_with(embedder, settings=MemorySettings(patience=0.01)).for_user("u1")
    embedder.down = False
    await memory.remember(TEA)
    embedder.down = True
    with anyio.fail_after(5):
        assert texts(await memory.recall("tea")) == [TEA]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


class Blind:
    """An index that cannot search words, or whose search of words fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.inner: MemoryIndex = MemoryIndex()
        self.open = self.inner.open
        self.owners = self.inner.owners
        self.aclose = self.inner.aclose
        self.error: Exception | None = error

    def for_owner(self, owner: str) -> OwnedIndex:
        return BlindOwned(self.inner.for_owner(owner), self.error)


class BlindOwned:
    """The passages of one owner in such an index."""

    def __init__(self, inner: OwnedIndex, error: Exception | None) -> None:
        self.put = inner.put
        self.get = inner.get
        self.nearest = inner.nearest
        self.page = inner.page
        self.delete = inner.delete
        self.delete_where = inner.delete_where
        self.erase = inner.erase
        self.error: Exception | None = error

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        del query, limit, where
        await anyio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return []


async def test_an_index_without_words_is_searched_by_vectors() -> None:
    memory = IndexMemory(Blind(), Meanings(DIRECTIONS)).for_user("u1")
    await memory.remember(TEA)
    assert texts(await memory.recall("hot drinks")) == [TEA]


async def test_a_search_that_fails_leaves_as_itself_and_ends_the_other_one() -> None:
    error = StoreUnavailable("the disk is gone")
    embedder = Endless()
    memory = IndexMemory(Blind(error), embedder, settings=MemorySettings(patience=60)).for_user("u1")
    with anyio.fail_after(5), pytest.raises(StoreUnavailable) as caught:
        await memory.recall("tea")
    assert caught.value is error


async def test_an_embedder_of_another_name_or_length_is_refused() -> None:
    index = MemoryIndex()
    await IndexMemory(index, HashingEmbedder(64)).for_user("u1").remember(TEA)
    with pytest.raises(IndexMismatch):
        await IndexMemory(index, HashingEmbedder(32)).open()
    with pytest.raises(IndexMismatch):
        await IndexMemory(index, Meanings({}, dimensions=64)).for_user("u1").recall("tea")


async def test_an_embedder_that_tells_its_length_late_is_held_against_the_index() -> None:
    index = MemoryIndex()
    late = Meanings(DIRECTIONS)
    late.dimensions = None
    memory = IndexMemory(index, late)
    await memory.open()
    await memory.for_user("u1").remember(TEA)
    assert texts(await memory.for_user("u1").recall("hot drinks")) == [TEA]

    late.size = 8  # its server has another model now
    with pytest.raises(IndexMismatch):
        await memory.for_user("u1").recall("hot drinks")
    with pytest.raises(IndexMismatch):
        await memory.for_user("u1").remember(COFFEE)
    assert len(await memory.for_user("u1").memories()) == 1

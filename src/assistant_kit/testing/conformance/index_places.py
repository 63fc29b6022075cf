"""Tests of the place behind an index: what it keeps, who shares it, and which vectors it takes."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import IndexMismatch, InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex
from assistant_kit.testing.conformance.index_workbench import (
    DIMENSIONS,
    PATIENCE,
    IndexWorkbench,
    assert_same,
    hit_ids,
    names_of,
    passage,
    toward,
)


class IndexPlaces(IndexWorkbench):
    """A place keeps what was put, and takes vectors of one embedder and one length."""

    @asynccontextmanager
    async def again(self, index: SearchIndex, folder: Path) -> AsyncGenerator[SearchIndex]:
        """Return another object on the place of `index`, unopened; the same one, where no place outlives its object."""
        if not self.durable:
            yield index
            return
        other = await self.open_index(folder)
        try:
            yield other
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await other.aclose()

    @pytest.fixture
    async def blank(self, tmp_path: Path) -> AsyncIterator[SearchIndex]:
        """Return an index that nobody has opened."""
        index = await self.open_index(tmp_path)
        try:
            yield index
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await index.aclose()
                await self.remove_place(tmp_path)

    async def test_what_was_put_is_there_when_the_place_is_opened_again(
        self, index: SearchIndex, tmp_path: Path
    ) -> None:
        if not self.durable:
            pytest.skip("this index ends with its object")
        put = passage("a", "some words", source="s", at=1.5, labels={"k": True})
        await index.for_owner("o").put([put])
        await index.aclose()

        async with self.again(index, tmp_path) as later:
            owned = later.for_owner("o")
            assert_same((await owned.get(["a"]))[0], put)
            assert hit_ids(await owned.nearest(put.vector or toward(1))) == ["a"]
            assert hit_ids(await owned.keywords("words")) == (["a"] if self.finds_words else [])

    async def test_two_objects_on_one_place_see_what_the_other_puts_and_deletes(
        self, index: SearchIndex, tmp_path: Path
    ) -> None:
        async with self.again(index, tmp_path) as other:
            here, there = index.for_owner("o"), other.for_owner("o")
            await here.put([passage("a", "word", vector=toward(1)), passage("b", "word")])
            assert hit_ids(await there.nearest(toward(1), limit=1)) == ["a"]

            await there.put([passage("a", "other", vector=toward(-1))])
            assert await there.delete(["b"]) == 1

            assert await names_of(here) == ["a"]
            assert [hit.score for hit in await here.nearest(toward(1))] == pytest.approx([-1.0], abs=1e-4)
            assert not await here.keywords("word")
            assert await there.erase() == 1
            assert await names_of(here) == []

    async def test_two_objects_on_one_place_write_at_once(self, index: SearchIndex, tmp_path: Path) -> None:
        async with self.again(index, tmp_path) as other:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for n in range(10):
                        owned = (index, other)[n % 2].for_owner("o")
                        tasks.start_soon(owned.put, [passage(f"p{n}"), passage("same", f"text {n}")])

            assert await names_of(index.for_owner("o")) == [*(f"p{n}" for n in range(10)), "same"]

    async def test_an_index_is_opened_by_its_first_use(self, blank: SearchIndex) -> None:
        assert list(await blank.owners()) == []
        await blank.for_owner("o").put([passage("a")])

        assert await names_of(blank.for_owner("o")) == ["a"]

    async def test_the_first_vector_settles_the_length(self, blank: SearchIndex) -> None:
        owned = blank.for_owner("o")
        assert list(await owned.nearest(toward(1, dimensions=3))) == []
        await owned.put([passage("a", vector=toward(1, dimensions=3))])

        with pytest.raises(InputError):
            await owned.put([passage("b", vector=toward(1, dimensions=4))])
        with pytest.raises(InputError):
            await owned.nearest(toward(1, dimensions=4))

        assert hit_ids(await owned.nearest(toward(1, dimensions=3))) == ["a"]

    async def test_vectors_of_two_lengths_cannot_be_the_first(self, blank: SearchIndex) -> None:
        owned = blank.for_owner("o")

        with pytest.raises(InputError):
            await owned.put([passage("a", vector=toward(1, dimensions=3)), passage("b", vector=toward(1))])

        assert await names_of(owned) == []

    async def test_an_opened_index_takes_no_other_length_from_the_first_on(self, index: SearchIndex) -> None:
        owned = index.for_owner("o")

        with pytest.raises(InputError):
            await owned.put([passage("a", vector=toward(1, dimensions=DIMENSIONS + 1))])
        with pytest.raises(InputError):
            await owned.nearest(toward(1, dimensions=DIMENSIONS + 1))

    @pytest.mark.parametrize(
        ("embedder", "dimensions"),
        [("other", DIMENSIONS), ("other", None), ("test", DIMENSIONS + 1), ("", DIMENSIONS + 1), ("other", 3)],
    )
    async def test_an_index_of_another_embedder_is_not_opened(
        self, index: SearchIndex, tmp_path: Path, embedder: str, dimensions: int | None
    ) -> None:
        owned = index.for_owner("o")
        await owned.put([passage("a", vector=toward(1))])

        async with self.again(index, tmp_path) as later:
            with pytest.raises(IndexMismatch) as caught:
                await later.open(embedder=embedder, dimensions=dimensions)

        assert "test" in caught.value.kept
        assert embedder in caught.value.given
        assert hit_ids(await owned.nearest(toward(1))) == ["a"]

    @pytest.mark.parametrize(("embedder", "dimensions"), [("test", DIMENSIONS), ("test", None), ("", None)])
    async def test_an_index_is_opened_again_for_the_same_embedder(
        self, index: SearchIndex, tmp_path: Path, embedder: str, dimensions: int | None
    ) -> None:
        await index.for_owner("o").put([passage("a", vector=toward(1))])

        async with self.again(index, tmp_path) as later:
            await later.open(embedder=embedder, dimensions=dimensions)
            await later.for_owner("o").put([passage("b", vector=toward(0, 1))])
            with pytest.raises(InputError):
                await later.for_owner("o").put([passage("c", vector=toward(1, dimensions=3))])
            assert hit_ids(await later.for_owner("o").nearest(toward(1))) == ["a", "b"]

    async def test_nothing_is_settled_before_the_first_vector(self, index: SearchIndex, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("what this object was opened for is all that it knows")
        await index.open(embedder="test", dimensions=DIMENSIONS)
        await index.aclose()

        async with self.again(index, tmp_path) as later:
            await later.open(embedder="other", dimensions=3)
            await later.for_owner("o").put([passage("a", vector=toward(1, dimensions=3))])
            assert hit_ids(await later.for_owner("o").nearest(toward(1, dimensions=3))) == ["a"]

    async def test_who_opened_for_another_embedder_before_the_first_vector_writes_none(
        self, index: SearchIndex, tmp_path: Path
    ) -> None:
        if not self.durable:
            pytest.skip("there is one object for each place")
        async with self.again(index, tmp_path) as later:
            await later.open(embedder="other", dimensions=DIMENSIONS)
            await index.for_owner("o").put([passage("a", vector=toward(1))])

            with pytest.raises(IndexMismatch):
                await later.for_owner("o").put([passage("b", vector=toward(1))])

        assert await names_of(index.for_owner("o")) == ["a"]

    async def test_the_name_of_the_embedder_may_come_after_the_first_vector(
        self, blank: SearchIndex, tmp_path: Path
    ) -> None:
        await blank.for_owner("o").put([passage("a", vector=toward(1))])

        async with self.again(blank, tmp_path) as later:
            await later.open(embedder="test", dimensions=DIMENSIONS)
            await later.for_owner("o").put([passage("b", vector=toward(0, 1))])
            with pytest.raises(IndexMismatch):
                await later.open(embedder="other")

    async def test_opening_twice_is_opening(self, index: SearchIndex, alice: OwnedIndex) -> None:
        await alice.put([passage("a")])
        await index.open(embedder="test", dimensions=DIMENSIONS)
        await index.open()

        assert await names_of(alice) == ["a"]

"""Tests of what is left of what was deleted: nothing."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from uuid import uuid4

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index_workbench import IndexWorkbench, hit_ids, ids, names_of, passage, toward


class IndexDeletion(IndexWorkbench):
    """What is deleted is found no more: neither by its words nor by its vector."""

    async def test_a_deleted_passage_is_found_no_more(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name, f"word {name}") for name in "abcd"])

        assert await alice.delete(["b", "x", "d", "b"]) == 2

        assert await names_of(alice) == ["a", "c"]
        assert ids(await alice.get(["a", "b", "c", "d"])) == ["a", "c"]
        assert sorted(hit_ids(await alice.nearest(toward(1)))) == ["a", "c"]
        if self.finds_words:
            assert sorted(hit_ids(await alice.keywords("word"))) == ["a", "c"]
        assert await alice.delete(["b", "d"]) == 0

    async def test_a_deleted_passage_may_come_back(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "apples", labels={"k": 1})])
        await alice.delete(["a"])
        await alice.put([passage("a", "pears", vector=toward(0, 1))])

        (hit,) = await alice.nearest(toward(0, 1))
        assert (hit.passage.text, hit.passage.labels) == ("pears", {})
        assert hit.score == pytest.approx(1.0, abs=1e-4)
        assert not await alice.keywords("apples")

    async def test_deleting_by_an_empty_filter_is_refused(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a")])

        with pytest.raises(InputError):
            await alice.delete_where(Where())

        assert await names_of(alice) == ["a"]

    async def test_a_document_is_deleted_by_its_source(self, alice: OwnedIndex) -> None:
        await alice.put([passage(f"{doc}-{n}", "word", source=doc) for doc in ("x", "y") for n in range(150)])

        assert await alice.delete_where(Where(source="x")) == 150

        assert len(await names_of(alice)) == 150
        assert {hit.passage.source for hit in await alice.nearest(toward(1), limit=300)} == {"y"}
        assert {hit.passage.source for hit in await alice.keywords("word", limit=300)} <= {"y"}
        assert await alice.delete_where(Where(source="x")) == 0

    async def test_an_erased_owner_has_nothing(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await alice.put([passage(f"p{n:03}", "word", labels={"n": n}, source="s") for n in range(120)])
        await bob.put([passage("p000", "word")])

        assert await alice.erase() == 120

        assert await names_of(alice) == []
        assert list(await alice.get(["p000", "p119"])) == []
        assert list(await alice.nearest(toward(1))) == []
        assert list(await alice.keywords("word")) == []
        assert await alice.delete(["p000"]) == 0
        assert await names_of(bob) == ["p000"]
        assert hit_ids(await bob.nearest(toward(1))) == ["p000"]
        assert hit_ids(await bob.keywords("word")) == (["p000"] if self.finds_words else [])

    async def test_an_erased_owner_is_not_listed_and_may_come_back(self, index: SearchIndex) -> None:
        owner = f"o-{uuid4()}"
        owned = index.for_owner(owner)
        await owned.put([passage("a", "old")])
        await owned.erase()
        assert owner not in await index.owners(after=owner[:-1], limit=5)

        await owned.put([passage("b", "new")])

        assert await names_of(owned) == ["b"]
        assert hit_ids(await owned.nearest(toward(1))) == ["b"]
        assert list(await owned.keywords("old")) == []

    async def test_erasing_again_finds_nothing(self, alice: OwnedIndex) -> None:
        assert await alice.erase() == 0
        await alice.put([passage("a")])
        assert await alice.erase() == 1
        assert await alice.erase() == 0

"""Tests of what keeps owners apart."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from uuid import uuid4

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index_workbench import (
    BAD_NAMES,
    IndexWorkbench,
    hit_ids,
    ids,
    names_of,
    passage,
    toward,
)

LIKE_NAMES = [
    "c",
    "C",
    " c",
    "c ",
    "c%",
    "c_",
    "c'",
    'c"',
    "c\\",
    "ç",
    "c\u0327",
    "会话",
    "😀",
    "c\n",
    "c/c",
    "c*",
    "c" * 255,
]


class IndexIsolation(IndexWorkbench):
    """A foreign passage behaves as one that does not exist, in every method."""

    async def test_a_foreign_passage_cannot_be_found(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await alice.put([passage("a", "word", vector=toward(1), source="s", labels={"k": 1})])

        for where in (None, Where(source="s"), Where(labels={"k": 1})):
            assert list(await bob.keywords("word", where=where)) == []
            assert list(await bob.nearest(toward(1), where=where)) == []
            assert list(await bob.page(where=where)) == []
        assert list(await bob.get(["a"])) == []

    async def test_a_foreign_passage_cannot_be_deleted(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await alice.put([passage("a", "word", vector=toward(1), source="s", at=1.0)])

        assert await bob.delete(["a"]) == 0
        assert await bob.delete_where(Where(source="s")) == 0
        assert await bob.delete_where(Where(until=9.0)) == 0
        assert await bob.erase() == 0

        assert await names_of(alice) == ["a"]
        assert hit_ids(await alice.nearest(toward(1))) == ["a"]
        assert hit_ids(await alice.keywords("word")) == (["a"] if self.finds_words else [])

    async def test_two_owners_may_name_a_passage_alike(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await alice.put([passage("a", "apples of hers", vector=toward(1))])
        await bob.put([passage("a", "pears of his", vector=toward(0, 1))])
        await alice.put([passage("a", "plums of hers", vector=toward(1))])

        assert [found.text for found in await bob.get(["a"])] == ["pears of his"]
        assert [found.text for found in await alice.get(["a"])] == ["plums of hers"]
        assert [hit.score for hit in await bob.nearest(toward(1))] == pytest.approx([0.0], abs=1e-4)
        assert list(await bob.keywords("hers apples plums")) == []
        assert await bob.delete(["a"]) == 1
        assert await names_of(alice) == ["a"]

    async def test_a_handle_made_anew_reaches_the_same_passages(self, index: SearchIndex) -> None:
        owner = f"o-{uuid4()}"
        await index.for_owner(owner).put([passage("a")])

        assert await names_of(index.for_owner(owner)) == ["a"]

    async def test_names_that_look_alike_are_kept_apart(self, index: SearchIndex) -> None:
        prefix = str(uuid4())[:30]
        owners = [index.for_owner(prefix + name[: 255 - 30]) for name in LIKE_NAMES]
        for number, owned in enumerate(owners):
            await owned.put([passage(name, f"word of {number}", source=name) for name in LIKE_NAMES])

        for number, owned in enumerate(owners):
            assert await names_of(owned) == sorted(LIKE_NAMES, key=str.encode)
            assert {found.text for found in await owned.get(LIKE_NAMES)} == {f"word of {number}"}
            assert {hit.passage.text for hit in await owned.nearest(toward(1), limit=99)} == {f"word of {number}"}
            assert {hit.passage.text for hit in await owned.keywords("word", limit=99)} <= {f"word of {number}"}
            for name in LIKE_NAMES:
                assert await names_of(owned, Where(source=name)) == [name]

    async def test_deleting_one_of_names_that_look_alike_leaves_the_others(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name, source=name) for name in LIKE_NAMES])
        left = sorted(LIKE_NAMES, key=str.encode)

        for name in LIKE_NAMES[:8]:
            assert await alice.delete([name]) == 1
            left.remove(name)
            assert await names_of(alice) == left
        for name in LIKE_NAMES[8:]:
            assert await alice.delete_where(Where(source=name)) == 1
            left.remove(name)
            assert ids(await alice.page()) == left

    async def test_owners_that_cannot_be_stored_are_refused(self, index: SearchIndex) -> None:
        for name in BAD_NAMES:
            with pytest.raises(InputError):
                index.for_owner(name)

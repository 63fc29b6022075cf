"""Tests of what is put into an index, and comes back."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import math
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import Label, OwnedIndex
from assistant_kit.testing.conformance.index_workbench import (
    BAD_NAMES,
    DIMENSIONS,
    IndexWorkbench,
    assert_same,
    hit_ids,
    ids,
    names_of,
    passage,
    toward,
)

LABELS: dict[str, Label] = {
    "text": "a b",
    "empty": "",
    "one": 1,
    "true": True,
    "false": False,
    "zero": 0,
    "said": "1",
    "low": -(2**63) + 1,
    "high": 2**63 - 1,
    "ключ 'x' \"y\" $.z": "значение 😀 %_\\",
}
TEXTS = [
    "a",
    "two\nlines\ttab\r\n",
    "e\u0301 é ÅÅ",
    "👩‍👩‍👧‍👦 会话",
    "\u200f\ufeffmarks\u2028",
    "'; DROP TABLE x; --",
    "x " * 50_000,
]

BAD_LABELS: list[Mapping[str, Any]] = [{"": "x"}, {"k" * 256: "x"}, {"k": 2**63}, {"k": 1.5}, {"k": None}]
WRONG_VECTORS = [
    array("f", [1.0] + [0.0] * DIMENSIONS),
    array("f", [1.0] + [0.0] * (DIMENSIONS - 2)),
    array("f"),
    array("f", [0.0] * DIMENSIONS),
    array("f", [1.0] * DIMENSIONS),
    array("f", [math.nan] + [0.0] * (DIMENSIONS - 1)),
    array("f", [math.inf] + [0.0] * (DIMENSIONS - 1)),
]
"""Of another length, of no direction, and not of length 1."""


class IndexPuts(IndexWorkbench):
    """What is put is there at once, and whole."""

    async def test_a_passage_comes_back_as_it_was_put(self, alice: OwnedIndex) -> None:
        put = passage("a", "the text", source="https://example.org/a?b=c#d", at=1_763_000_000.25, labels=LABELS)
        await alice.put([put])

        (found,) = await alice.get(["a"])
        (listed,) = await alice.page()
        ((hit),) = await alice.nearest(put.vector or toward(1))

        assert_same(found, put)
        assert_same(listed, put)
        assert_same(hit.passage, put, vector=False)

    async def test_any_text_comes_back_to_the_letter(self, alice: OwnedIndex) -> None:
        await alice.put([passage(f"p{n}", text) for n, text in enumerate(TEXTS)])

        assert [found.text for found in await alice.get([f"p{n}" for n in range(len(TEXTS))])] == TEXTS

    async def test_passages_come_in_the_order_in_which_they_are_asked_for(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name) for name in "abcd"])

        assert ids(await alice.get(["d", "x", "a", "c"])) == ["d", "a", "c"]

    async def test_a_passage_of_the_same_id_takes_the_place_of_the_old_one(self, alice: OwnedIndex) -> None:
        old = passage("a", "apples", vector=toward(1), source="s1", at=1.0, labels={"k": "old", "gone": 1})
        new = passage("a", "pears", vector=toward(0, 1), source="s2", at=2.0, labels={"k": "new"})
        await alice.put([old, passage("b", "plums", vector=toward(1, 1))])
        await alice.put([new])

        (found,) = await alice.get(["a"])
        assert_same(found, new)
        assert await names_of(alice) == ["a", "b"]
        assert hit_ids(await alice.nearest(toward(1))) == ["b", "a"]
        if self.finds_words:
            assert not await alice.keywords("apples")
            assert hit_ids(await alice.keywords("pears")) == ["a"]

    async def test_of_an_id_that_is_put_twice_at_once_the_last_stays(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "first"), passage("b", "beside"), passage("a", "last")])

        assert [(found.id, found.text) for found in await alice.page()] == [("a", "last"), ("b", "beside")]

    async def test_a_passage_may_have_no_vector_lose_it_and_get_one(self, alice: OwnedIndex) -> None:
        bare = replace(passage("a", "apples"), vector=None)
        await alice.put([bare])
        assert not await alice.nearest(toward(1))
        assert_same((await alice.get(["a"]))[0], bare)

        await alice.put([passage("a", "apples", vector=toward(1))])
        assert hit_ids(await alice.nearest(toward(1))) == ["a"]

        await alice.put([bare])
        assert not await alice.nearest(toward(1))
        assert_same((await alice.get(["a"]))[0], bare)

    async def test_nothing_put_asked_or_deleted_is_nothing(self, alice: OwnedIndex) -> None:
        await alice.put([])

        assert list(await alice.get([])) == []
        assert await alice.delete([]) == 0
        assert list(await alice.page()) == []

    async def test_many_passages_are_put_at_once(self, alice: OwnedIndex) -> None:
        names = [f"p{n:03}" for n in range(300)]
        await alice.put([passage(name) for name in names])

        assert await names_of(alice) == names
        assert ids(await alice.get(names[::-1])) == names[::-1]
        assert await alice.delete(names) == 300

    async def test_a_wrong_vector_is_refused_with_all_that_is_put_with_it(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "old")])

        for vector in WRONG_VECTORS:
            with pytest.raises(InputError):
                await alice.put([passage("a", "new"), passage("b"), passage("c", vector=vector)])
            with pytest.raises(InputError):
                await alice.nearest(vector)

        assert [(found.id, found.text) for found in await alice.page()] == [("a", "old")]

    async def test_an_id_that_cannot_be_stored_is_refused_and_never_found(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a")])

        for name in BAD_NAMES:
            with pytest.raises(InputError):
                await alice.put([passage("b"), passage(name)])
            assert ids(await alice.get([name, "a"])) == ["a"]
            assert await alice.delete([name]) == 0

        assert await names_of(alice) == ["a"]

    async def test_texts_that_some_database_cannot_hold_are_refused(self, alice: OwnedIndex) -> None:
        for text in ("a\0b", "\ud800"):
            for bad in (
                passage("b", text),
                passage("b", source=text),
                passage("b", labels={text: 1}),
                passage("b", labels={"k": text}),
            ):
                with pytest.raises(InputError):
                    await alice.put([passage("a"), bad])

        assert await names_of(alice) == []

    async def test_labels_that_cannot_be_kept_are_refused(self, alice: OwnedIndex) -> None:
        for labels in BAD_LABELS:
            with pytest.raises(InputError):
                await alice.put([passage("a", labels=cast("Mapping[str, Label]", labels))])

        assert await names_of(alice) == []

    async def test_a_time_that_is_none_is_refused(self, alice: OwnedIndex) -> None:
        for at in (math.nan, math.inf):
            with pytest.raises(InputError):
                await alice.put([passage("a", at=at)])

        assert await names_of(alice) == []

    async def test_a_source_of_a_thousand_characters_is_kept_and_a_longer_one_refused(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", source="é" * 1000)])

        with pytest.raises(InputError):
            await alice.put([passage("b", source="é" * 1001)])

        assert [found.source for found in await alice.page()] == ["é" * 1000]

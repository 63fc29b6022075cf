"""Tests of filters: the same for every method that takes one."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from assistant_kit.protocols.search_index import OwnedIndex, Passage, Where
from assistant_kit.testing.conformance.index_workbench import IndexWorkbench, hit_ids, names_of, passage, toward

KEPT: list[Passage] = [
    passage("a", "word", source="s", at=1.0, labels={"k": "x", "n": 1}),
    passage("b", "word", source="S", at=2.0, labels={"k": "X", "n": True}),
    passage("c", "word", source="s ", at=2.0, labels={"k": "", "n": "1"}),
    passage("d", "word", source="s%", at=3.5, labels={"k": "x", "n": 0, "more": True}),
    passage("e", "word", source="", at=-4.0, labels={"k": "x", "n": False}),
    passage("f", "word", source="ś", at=1e9 + 0.5, labels={"N": 1, "x": "k"}),
    passage("g", "word", source="s", at=0.0),
    passage("h", "word", source="s'\"\\", at=0.0, labels={'it\'s "$.k" \\': "'\"\\%_", "k ": "x", "big": 2**53 + 1}),
]

CASES: list[tuple[Where, str]] = [
    (Where(), "abcdefgh"),
    (Where(source="s"), "ag"),
    (Where(source=""), "e"),
    (Where(source="s%"), "d"),
    (Where(source="s'\"\\"), "h"),
    (Where(source="nowhere"), ""),
    (Where(since=2.0), "bcdf"),
    (Where(until=2.0), "abcegh"),
    (Where(since=2.0, until=2.0), "bc"),
    (Where(since=2.5, until=2.4), ""),
    (Where(since=-4.0, until=-4.0), "e"),
    (Where(since=1e9 + 0.5), "f"),
    (Where(until=0.0), "egh"),
    (Where(labels={"k": "x"}), "ade"),
    (Where(labels={"k": "X"}), "b"),
    (Where(labels={"k": ""}), "c"),
    (Where(labels={"n": 1}), "a"),
    (Where(labels={"n": True}), "b"),
    (Where(labels={"n": "1"}), "c"),
    (Where(labels={"n": 0}), "d"),
    (Where(labels={"n": False}), "e"),
    (Where(labels={"N": 1}), "f"),
    (Where(labels={'it\'s "$.k" \\': "'\"\\%_"}), "h"),
    (Where(labels={"big": 2**53 + 1}), "h"),
    (Where(labels={"big": 2**53}), ""),
    (Where(labels={"k": "x", "n": 0}), "d"),
    (Where(labels={"k": "x", "n": 2}), ""),
    (Where(labels={"missing": "x"}), ""),
    (Where(source="s", since=0.5, labels={"k": "x"}), "a"),
    (Where(source="a\0b"), ""),
    (Where(source="\ud800"), ""),
    (Where(labels={"k": "a\0b"}), ""),
    (Where(labels={"\ud800": 1}), ""),
    (Where(labels={"n": 2**64}), ""),
]
"""A filter, and the ids that pass."""


class IndexFilters(IndexWorkbench):
    """A filter means the same wherever it stands; values are compared with their types, to the letter."""

    async def test_only_what_fits_is_found(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await alice.put(KEPT)
        await bob.put(KEPT)

        for where, expected in CASES:
            assert await names_of(alice, where) == list(expected), where
            assert sorted(hit_ids(await alice.nearest(toward(1), where=where))) == list(expected), where
            if self.finds_words:
                assert sorted(hit_ids(await alice.keywords("word", where=where))) == list(expected), where

    async def test_only_what_fits_is_deleted(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await bob.put(KEPT)

        for where, expected in CASES[1:]:
            await alice.put(KEPT)
            assert await alice.delete_where(where) == len(expected), where
            assert await names_of(alice) == [kept.id for kept in KEPT if kept.id not in expected], where
        assert len(await names_of(bob)) == len(KEPT)

    async def test_a_filter_follows_what_takes_the_place_of_a_passage(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "word", source="s1", at=1.0, labels={"k": 1})])
        await alice.put([passage("a", "word", source="s2", at=2.0, labels={"k": 2})])

        for old in (Where(source="s1"), Where(until=1.0), Where(labels={"k": 1})):
            assert await names_of(alice, old) == []
            assert not await alice.nearest(toward(1), where=old)
            assert not await alice.keywords("word", where=old)
        for new in (Where(source="s2"), Where(since=2.0), Where(labels={"k": 2})):
            assert hit_ids(await alice.nearest(toward(1), where=new)) == ["a"]

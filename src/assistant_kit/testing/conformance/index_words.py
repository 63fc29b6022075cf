"""Tests of finding passages by their words."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex
from assistant_kit.testing.conformance.index_workbench import IndexWorkbench, assert_same, hit_ids, passage

ANY_TEXT = [
    'apple "',
    '"apple',
    "apple AND OR NOT NEAR(",
    "apple & | ! <-> :*",
    "-apple",
    "apple* ^ ( ) { } [ ]",
    "text:apple",
    "apple' OR 1=1; --",
    "apple\\",
    "😀 apple 👩‍👩‍👧‍👦",
    "apple\0pear",
    "\ud800 apple",
    "apple\n\t\r\u2028",
    "%_apple%_",
    "NULL apple ''",
    f"apple {'zebra ' * 20_000}",
    f"apple {' '.join(f'w{n}' for n in range(20_000))}",
    f"apple {'x' * 100_000}",
]
"""Questions of which each has the word apple in it."""

NO_WORDS = ["", " ", "\n", "\0", "\ud800", '"', "''", "*", "()", "- - -", "!?.,;:", "&|!", "\u200b\u3000", "\u0301"]
"""Questions without words."""

FOLDED = [
    ("Crème Brûlée", "creme brulee"),
    ("creme brulee", "CRÈME"),
    ("cre\u0300me", "crème"),
    ("ŁÓDŹ Ångström", "angstrom"),
    ("Straße", "STRASSE"),
    ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
    ("ПРИВЕТ", "привет"),
    ("\uff46\uff55\uff4c\uff4c width", "full"),
    ("order E-4711", "e-4711"),
]
"""A text, and a question that finds it."""


class IndexWords(IndexWorkbench):
    """Any text is a question, and finds what shares words with it."""

    async def test_passages_that_share_more_words_come_first(self, alice: OwnedIndex) -> None:
        self._need_words()
        texts = {"a": "a red apple and a pear", "b": "a red car stood there", "c": "nothing of that kind"}
        await alice.put([passage(name, text, at=5.0, labels={"k": 1}, source="s") for name, text in texts.items()])

        hits = await alice.keywords("apple red")

        assert hit_ids(hits) == ["a", "b"]
        assert hits[0].score > hits[1].score
        assert_same(hits[0].passage, passage("a", texts["a"], at=5.0, labels={"k": 1}, source="s"), vector=False)

    async def test_an_index_that_finds_no_words_says_so_by_finding_nothing(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "apple")])

        assert hit_ids(await alice.keywords("apple")) == (["a"] if self.finds_words else [])

    async def test_at_most_so_many_are_found_the_best_first(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put([passage(f"p{n}", f"apple pie {'pear ' * n}") for n in range(20)])

        hits = await alice.keywords("apple pie", limit=7)

        scores = [hit.score for hit in hits]
        assert len(set(hit_ids(hits))) == 7
        assert scores == sorted(scores, reverse=True)
        assert len(await alice.keywords("apple pie", limit=1)) == 1
        assert len(await alice.keywords("apple pie", limit=10_000)) == 20

    async def test_any_text_is_a_question(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put([passage("a", "an apple"), passage("b", "a lemon")])

        for query in ANY_TEXT:
            assert hit_ids(await alice.keywords(query)) == ["a"], query[:100]

    async def test_a_question_without_words_finds_nothing(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "an apple"), passage("b", "*"), passage("c", "!?")])

        for query in NO_WORDS:
            assert list(await alice.keywords(query)) == [], query

    async def test_case_and_accents_make_no_difference(self, alice: OwnedIndex) -> None:
        self._need_words()

        for text, query in FOLDED:
            await alice.put([passage("a", text), passage("b", "something else")])
            assert hit_ids(await alice.keywords(query)) == ["a"], query

    async def test_words_are_found_in_scripts_that_do_not_part_them(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put(
            [passage("a", "我们今天去北京大学看书"), passage("b", "明日は東京へ行きます"), passage("c", "rain")]
        )

        assert hit_ids(await alice.keywords("北京大学")) == ["a"]
        assert hit_ids(await alice.keywords("東京")) == ["b"]

    async def test_a_part_of_a_word_is_not_the_word(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put([passage("a", "pineapple"), passage("b", "apple")])

        assert hit_ids(await alice.keywords("apple")) == ["b"]

    async def test_every_word_of_a_long_passage_finds_it(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put([passage("a", f"{' '.join(f'w{n}' for n in range(10_000))} last"), passage("b", "short")])

        assert hit_ids(await alice.keywords("last")) == ["a"]
        assert hit_ids(await alice.keywords("w0")) == ["a"]
        assert hit_ids(await alice.keywords("w9999")) == ["a"]

    async def test_a_word_that_all_have_still_finds_them(self, alice: OwnedIndex) -> None:
        self._need_words()
        await alice.put([passage(f"p{n}", "common word") for n in range(5)])

        assert sorted(hit_ids(await alice.keywords("common"))) == [f"p{n}" for n in range(5)]

    async def test_less_than_one_cannot_be_found(self, alice: OwnedIndex) -> None:
        await alice.put([passage("a", "apple")])

        for limit in (0, -1):
            with pytest.raises(InputError):
                await alice.keywords("apple", limit=limit)

    def _need_words(self) -> None:
        if not self.finds_words:
            pytest.skip("this index finds no words")

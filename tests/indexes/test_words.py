import sys
import unicodedata

import hypothesis
from hypothesis import strategies

from assistant_kit.indexes._words import MAX_WORD, folded, words


def test_words_are_letters_and_digits_without_case_and_accents() -> None:
    assert words("The Crème, 'brûlée' of E-4711_x!") == ["the", "creme", "brulee", "of", "e", "4711", "x"]


def test_a_text_without_words_has_none() -> None:
    assert words(" \0\ud800 —_!?") == []


def test_scripts_that_do_not_part_words_give_pairs() -> None:
    assert words("我们去abc东京x") == ["我们", "们去", "abc", "东京", "x"]
    assert words("水 a水") == ["水", "a", "水"]
    assert words("東京都é") == ["東京", "京都", "e"]


def test_a_long_word_is_cut() -> None:
    assert words("a" * 100_000) == ["a" * MAX_WORD]
    assert words("é" * 1000 + "水水" + "ж" * 1000) == ["e" * MAX_WORD, "水水", "ж" * MAX_WORD]


@hypothesis.given(strategies.text())
def test_the_words_of_words_are_the_same(text: str) -> None:
    found = words(text)

    assert words(" ".join(found)) == found


@hypothesis.given(strategies.text())
def test_case_and_the_way_of_writing_make_no_difference(text: str) -> None:
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))


def test_every_character_can_stand_in_a_text() -> None:
    text = "".join(map(chr, range(0, sys.maxunicode + 1, 7)))

    assert all(word.isalnum() for word in words(text))

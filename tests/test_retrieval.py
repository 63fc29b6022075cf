"""How search results are put together."""

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.protocols.search_index import Hit, Passage
from assistant_kit.retrieval import (
    cosine,
    favour_recent,
    fuse,
    normalised,
    ranked,
    says_the_same,
    telling_words,
    within_budget,
)
from assistant_kit.token_counters.upper_bound import UpperBound

DAY = 86_400.0


def hits(*ids: str) -> list[Hit]:
    return [Hit(passage=Passage(id=name, text=name), score=9.0 - place) for place, name in enumerate(ids)]


def ids(found: Sequence[Hit]) -> list[str]:
    return [hit.passage.id for hit in found]


def test_what_two_rankings_agree_on_comes_first() -> None:
    fused = fuse([hits("a", "b", "c"), hits("x", "b", "y")])
    assert ids(fused)[0] == "b"
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 62)


def test_equal_scores_are_ordered_by_id() -> None:
    assert ids(fuse([hits("b"), hits("a")])) == ["a", "b"]
    assert ids(ranked([*hits("b"), *hits("a")])) == ["a", "b"]


def test_equals_of_a_ranking_share_a_rank() -> None:
    equals = [Hit(passage=Passage(id=name, text=name), score=score) for name, score in (("b", 2), ("a", 2), ("c", 1))]
    fused = fuse([equals])
    assert ids(fused) == ["a", "b", "c"]
    assert [hit.score for hit in fused] == [pytest.approx(1 / 61), pytest.approx(1 / 61), pytest.approx(1 / 63)]


def test_a_weight_lets_one_ranking_count_more() -> None:
    assert ids(fuse([hits("b"), hits("a")], weights=[2.0, 1.0])) == ["b", "a"]


def test_as_many_weights_as_rankings_are_needed() -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (its type says it)
        fuse([hits("a")], weights=[1.0, 1.0])


def test_a_passage_counts_once_in_a_ranking_and_comes_from_the_first_that_has_it() -> None:
    first, again = hits("a", "a", "b"), hits("a")
    fused = fuse([first, again])
    assert fused[0].passage is first[0].passage
    assert [hit.score for hit in fused] == [pytest.approx(2 / 61), pytest.approx(1 / 62)]


def test_no_rankings_give_no_hits() -> None:
    assert fuse([]) == []
    assert fuse([[], []]) == []


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=4))
def test_a_fusion_has_every_passage_once_and_the_best_first(rankings: list[list[str]]) -> None:
    fused = fuse([hits(*ranking) for ranking in rankings])
    assert sorted(ids(fused)) == sorted({name for ranking in rankings for name in ranking})
    scores = [hit.score for hit in fused]
    assert scores == sorted(scores, reverse=True)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_a_fusion_of_one_ranking_keeps_its_order(ranking: list[str]) -> None:
    assert ids(fuse([hits(*ranking)])) == ranking


def dated(name: str, at: float, score: float) -> Hit:
    return Hit(passage=Passage(id=name, text=name, at=at), score=score)


def test_of_two_that_are_nearly_as_good_the_newer_comes_first() -> None:
    found = favour_recent([dated("old", 0.0, 1.0), dated("new", 90 * DAY, 0.97)], now=90 * DAY, half_life=90 * DAY)
    assert ids(found) == ["new", "old"]
    assert [hit.score for hit in found] == [pytest.approx(0.97), pytest.approx(0.95)]


def test_what_is_clearly_better_stays_first_however_old_it_is() -> None:
    found = favour_recent([dated("old", 0.0, 1.0), dated("new", 1e9, 0.8)], now=1e9, half_life=DAY)
    assert ids(found) == ["old", "new"]
    assert found[0].score == pytest.approx(0.9)


def test_what_lies_in_the_future_counts_as_new() -> None:
    (found,) = favour_recent([dated("a", 100.0, 1.0)], now=0.0, half_life=1.0)
    assert found.score == pytest.approx(1.0)


@given(st.lists(st.text(alphabet="aé漢", max_size=12)), st.integers(0, 60), st.integers(0, 5))
def test_what_is_kept_is_never_over_budget(texts: list[str], max_tokens: int, framing: int) -> None:
    counter = UpperBound()
    given_hits = [Hit(passage=Passage(id=str(place), text=text), score=1.0) for place, text in enumerate(texts)]
    kept = within_budget(given_hits, max_tokens, counter, framing=framing)
    assert sum(counter.count(hit.passage.text) + framing for hit in kept) <= max_tokens
    places = [given_hits.index(hit) for hit in kept]
    assert places == sorted(places)


def test_what_is_too_long_is_passed_over_for_shorter_ones() -> None:
    assert ids(within_budget(hits("aaa", "bbbbbbbb", "ccc"), 6, UpperBound())) == ["aaa", "ccc"]


@pytest.mark.parametrize(
    ("question", "telling"),
    [
        ("What is the name of MY pet?", "name pet"),
        ("Wo wohnt die Nutzerin?", "wohnt Nutzerin"),
        ("Où est la gare ?", "gare"),
        ("¿Dónde está el perro?", "perro"),
        ("When was my son born, in May?", "son born May"),
        ("Who are you?", "Who are you?"),
        ("", ""),
    ],
)
def test_words_that_nearly_every_text_has_are_not_searched_for(question: str, telling: str) -> None:
    assert telling_words(question) == telling


def test_a_dot_product_is_a_cosine() -> None:
    assert cosine(array("f", [1.0, 0.0]), array("f", [0.0, 1.0])) == 0.0
    assert cosine(array("f", [0.6, 0.8]), array("f", [0.6, 0.8])) == pytest.approx(1.0)
    with pytest.raises(ValueError):  # noqa: PT011  (its type says it)
        cosine(array("f", [1.0]), array("f", [1.0, 0.0]))


@pytest.mark.parametrize(
    ("one", "other"),
    [("Likes  tea.", "likes tea"), ("\uff2c\uff29\uff2b\uff25\uff33 tea", "likes tea!"), ("Straße", "STRASSE")],
)
def test_texts_that_differ_in_form_alone_are_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert says_the_same(one, other)


def test_near_texts_say_the_same_only_with_equal_numbers() -> None:
    assert says_the_same("the train leaves at 7", "the train departs at 7", likeness=0.98)
    assert not says_the_same("the train leaves at 7", "the train leaves at 9", likeness=0.99)
    assert not says_the_same("the train leaves at 7", "the train departs at 7", likeness=0.96)
    assert not says_the_same("likes tea", "likes coffee")

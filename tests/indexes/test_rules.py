from array import array

import pytest

from assistant_kit.errors import IndexMismatch, InputError
from assistant_kit.indexes._rules import Space, check_page, fits, known, latest, may_fit, settled, space_of
from assistant_kit.protocols.search_index import Passage, Where


def with_vector(*numbers: float) -> Passage:
    return Passage(id="a", text="", vector=array("f", numbers))


def test_of_one_id_the_last_passage_is_put() -> None:
    passages = [Passage(id="a", text="1"), Passage(id="b", text="2"), Passage(id="a", text="3")]

    assert [(one.id, one.text) for one in latest(passages)] == [("a", "3"), ("b", "2")]


def test_an_id_is_asked_for_once_and_only_if_a_passage_may_have_it() -> None:
    assert known(["b", "a", "b", "", "\0", "\ud800", "é" * 255, "é" * 256]) == ["b", "a", "é" * 255]


def test_a_page_stands_behind_what_can_be_stored() -> None:
    check_page(1, "é")
    for limit, after in ((0, ""), (1, "\0")):
        with pytest.raises(InputError):
            check_page(limit, after)


def test_everything_fits_no_filter() -> None:
    assert fits(Passage(id="a", text=""), None)
    assert may_fit(None)


def test_the_first_vector_tells_the_length() -> None:
    nothing = Space()

    assert space_of([], place="p", kept=nothing, opened=nothing) == nothing
    assert space_of([with_vector(1, 0)], place="p", kept=nothing, opened=Space(embedder="e")) == Space(
        embedder="e", dimensions=2
    )
    with pytest.raises(InputError):
        space_of([with_vector(1, 0), with_vector(1)], place="p", kept=nothing, opened=nothing)


def test_two_embedders_or_lengths_contradict_each_other() -> None:
    kept = Space(embedder="e", dimensions=2)

    assert settled("p", kept=kept, given=Space()) == kept
    assert settled("p", kept=Space(dimensions=2), given=Space(embedder="e")) == kept
    for given in (Space(embedder="f", dimensions=2), Space(dimensions=3)):
        with pytest.raises(IndexMismatch) as caught:
            settled("p", kept=kept, given=given)
        assert (caught.value.place, caught.value.kept, caught.value.given) == ("p", str(kept), str(given))


def test_nothing_that_cannot_be_stored_may_fit() -> None:
    assert may_fit(Where(source="a", labels={"k": "v", "n": 2**70}))
    for where in (Where(source="\0"), Where(labels={"\ud800": 1}), Where(labels={"k": "\0"})):
        assert not may_fit(where)

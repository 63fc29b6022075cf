"""Words are the same in all their forms, and a choice keeps to its tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.tool_ranking import KeywordRanking, fitting, prose_of, ranked, words_of
from assistant_kit.tool_spec import ToolSpec


def named(name: str, description: str = "") -> ToolSpec:
    return ToolSpec(name=name, description=description, parameters={"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("getUserEmails", "get_user_email"),
        ("HTTPServerErrors", "http server error"),
        ("orders2csv", "order 2 csv"),
        ("booking", "books"),
        ("scheduled", "schedule"),
        ("replies", "reply"),
        ("planning", "plan"),
        ("the weather in a city", "weather city"),
        ("ＷＥＡＴＨＥＲ", "weather"),  # noqa: RUF001  (wide letters, on purpose)
        ("Straße", "STRASSE"),
    ],
)
def test_words_are_the_same_in_all_their_forms(one: str, other: str) -> None:
    assert list(words_of(one)) == list(words_of(other))


def test_text_without_spaces_is_read_in_pairs_of_letters() -> None:
    assert list(words_of("天気予報")) == ["天気", "気予", "予報"]
    assert list(words_of("水")) == ["水"]


@given(st.text(max_size=60))
def test_any_text_has_words(text: str) -> None:
    assert all(list(words_of(text)))


def test_names_count_more_than_descriptions_and_these_more_than_details() -> None:
    detail = {"type": "object", "properties": {"x": {"type": "string", "description": "train"}}}
    value = {"type": "object", "properties": {"x": {"enum": ["train", 1]}, "y": True}}
    tools = (
        ToolSpec(name="a", description="one", parameters=detail),
        ToolSpec(name="b", description="other", parameters=value),
        named("c", "train"),
        named("train", "word"),
        ToolSpec(name="d", description="no schema of an object", parameters={"properties": []}),
    )
    assert KeywordRanking().of("Which train?", tools) == [3, 2, 0, 1, 4]


def test_rare_words_count_more_than_common_ones() -> None:
    tools = (named("show_file"), named("show_folder"), named("show_invoice"), named("pay"))
    assert list(KeywordRanking().of("show the invoice", tools)) == [2, 0, 1, 3]


def test_a_tool_that_has_changed_is_read_again() -> None:
    ranking = KeywordRanking()
    assert ranking.of("train", (named("a"), named("train"))) == [1, 0]
    assert ranking.of("train", (named("train"), named("a"))) == [0, 1]
    assert ranking.of("train", ()) == []
    assert ranking.of("", (named("_"), named("-"))) == [0, 1]


@given(
    st.lists(st.integers(0, 9), max_size=8),
    st.integers(-1, 30),
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
)
def test_a_choice_keeps_to_its_tokens_takes_the_best_and_keeps_the_order(
    sizes: list[int], room: int, scores: list[float]
) -> None:
    tools = [named(f"{place}", "x" * size) for place, size in enumerate(sizes)]
    ranking = ranked(scores[: len(tools)])
    chosen = fitting(ranking, tools, max_tokens=room, tokens=lambda tool: len(tool.description))
    places = [int(tool.name) for tool in chosen]
    assert sum(sizes[place] for place in places) <= max(room, 0)
    assert places == sorted(places)
    for index, place in enumerate(ranking):
        better = sum(sizes[other] for other in ranking[:index] if other in places)
        assert (place in places) == (better + sizes[place] <= room)


def test_a_tool_is_told_in_plain_words() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "description": "Which day"}, "place": {}}}
    tool = ToolSpec(name="getTrain_times", description="When trains leave.", parameters=schema)
    assert prose_of(tool) == "get Train times: When trains leave.\nday: Which day, place"

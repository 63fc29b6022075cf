"""What is printed cannot do anything but be read."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.cli.screen import Screen, clock, counted, cut, day, json_shown, moment, shown, width

texts = st.text(st.characters(codec=None), max_size=40)


@given(texts)
def test_nothing_that_was_stored_reaches_the_terminal_as_a_control(text: str) -> None:
    assert shown(text).isprintable()


def test_text_that_can_be_read_is_shown_as_it_is() -> None:
    assert shown("Grüße, 東京, £5") == "Grüße, 東京, £5"


def test_escapes_and_invisible_characters_are_shown_as_what_they_are() -> None:
    assert shown("a\x1b[2J\n\x9b\u202e\u200b\u2028\ud800 \xa0b\x7f") == r"a\x1b[2J\n\x9b\u202e\u200b\u2028\ud800  b\x7f"


@given(st.text(max_size=40))
def test_json_that_is_shown_means_what_it_meant(text: str) -> None:
    line = json_shown(json.dumps({"text": text}, ensure_ascii=False))
    assert line.isprintable()
    assert json.loads(line) == {"text": text}


@given(texts, st.integers(1, 30))
def test_a_text_is_cut_to_the_room_there_is(text: str, room: int) -> None:
    piece = cut(text, room)
    assert width(piece) <= room
    assert piece == shown(text) or piece.endswith("…")


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    assert (width("東京"), width("e\u0301"), width("abc")) == (4, 1, 3)
    assert cut("東京都", 5) == "東京…"


def test_a_time_is_shown_in_utc() -> None:
    assert (day(1_793_610_900.0), clock(1_793_610_900.25), moment(1_793_610_900.9)) == (
        "2026-11-02",
        "09:15:00.250",
        "2026-11-02 09:15:00",
    )


@pytest.mark.parametrize("at", [1e300, float("nan"), float("inf"), -1e18])
def test_a_time_that_cannot_be_is_shown_as_a_number(at: float) -> None:
    assert day(at) == clock(at) == moment(at) == f"{at:g}"


def test_a_number_comes_with_its_noun() -> None:
    assert (counted(1, "turn"), counted(0, "turn"), counted(1200, "turn")) == ("1 turn", "0 turns", "1,200 turns")


def test_the_last_column_of_a_table_stays_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    Screen(out).table([("東京", "a", "one two three " * 5), ("b\n", "long", "x")])
    assert out.getvalue() == (
        "  東京  a     one two three one two three one two three one\n"
        "              two three one two three\n"
        "  b\\n   long  x\n"
    )


def test_a_table_without_rows_is_nothing() -> None:
    out = io.StringIO()
    Screen(out).table([])
    assert out.getvalue() == ""

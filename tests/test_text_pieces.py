"""Pieces of a long text that are at most so many tokens long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.text_pieces import beginning, ending, pieces
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound

COUNTERS: list[TokenCounter] = [UpperBound(), TiktokenCounter()]
FEW = settings(max_examples=settings().max_examples // 2)
texts = st.one_of(
    st.text(max_size=600),
    st.lists(st.sampled_from(["rain ", "\n", " " * 40, "é", "漢字", "🙂", "\r\n", "x" * 90, "3.14"]), max_size=99).map(
        "".join
    ),
)


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
@given(text=texts, max_tokens=st.integers(4, 70))
@FEW
def test_pieces_are_short_and_make_up_the_text(counter: TokenCounter, text: str, max_tokens: int) -> None:
    found = list(pieces(text, max_tokens, counter, max_chars=200))
    assert "".join(found) == text
    assert all(piece and len(piece) <= 200 and counter.count(piece) <= max_tokens for piece in found)
    assert "".join(pieces(text, max_tokens, counter)) == text


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
@given(text=texts, max_tokens=st.integers(-2, 200))
@FEW
def test_the_beginning_and_the_end_are_short_enough(counter: TokenCounter, text: str, max_tokens: int) -> None:
    head, tail = beginning(text, max_tokens, counter), ending(text, max_tokens, counter)
    assert text.startswith(head)
    assert text.endswith(tail)
    for part in (head, tail):
        assert counter.count(part) <= max(0, max_tokens)
        if counter.count(text) <= max_tokens and len(text) <= 8 * max_tokens:
            assert part == text


def test_as_much_as_possible_is_taken() -> None:
    assert beginning("abcdef", 4, UpperBound()) == "abcd"
    assert ending("abcdef", 4, UpperBound()) == "cdef"
    assert list(pieces("abcdef", 4, UpperBound())) == ["abcd", "ef"]


def test_a_character_that_is_too_long_is_a_piece_all_the_same() -> None:
    assert list(pieces("漢a字", 2, UpperBound())) == ["漢", "a", "字"]

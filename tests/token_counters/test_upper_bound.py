"""The bound that needs no vocabulary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.token_counters.tiktoken import EncodingName, TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@given(text=TEXT)
def test_the_bound_is_never_below_the_exact_count(encoding: EncodingName, text: str) -> None:
    assert UpperBound().count(text) >= TiktokenCounter(encoding).count(text)


@given(pieces=st.lists(TEXT, max_size=5))
def test_the_bounds_of_pieces_add_up_to_at_least_the_bound_of_the_whole(pieces: list[str]) -> None:
    counter = UpperBound()
    assert sum(map(counter.count, pieces)) >= counter.count("".join(pieces))


@pytest.mark.parametrize(("text", "bytes_"), [("", 0), ("hello", 5), ("é", 2), ("日本", 6), ("👍", 4), ("\ud800", 3)])
def test_it_counts_bytes(text: str, bytes_: int) -> None:
    assert UpperBound().count(text) == bytes_


def test_it_stays_the_counter_in_force() -> None:
    counter: TokenCounter = UpperBound()
    assert counter.name == "upper_bound"
    assert UpperBound().current.count("x") == 1

"""Makes room by clearing long tool results in older turns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.compaction_rules import tokens_after
from assistant_kit.compactors.clear_results import CLEARED, ClearResults
from assistant_kit.entries import Summary
from assistant_kit.protocols.compactor import Compaction
from assistant_kit.turns import Turn
from assistant_kit.view import cleared
from tests.compactors.crowding import COUNTER, asked, check, conversations, crowded, said, summary

pytestmark = pytest.mark.anyio
LONG = "rain " * 100
TURNS = [asked(1, LONG), said(2), asked(3, LONG, LONG), asked(4, LONG), said(5)]
ALL = sum(turn.tokens for turn in TURNS)


def saved(*places: int) -> int:
    return sum(TURNS[place].tokens - cleared(TURNS[place], COUNTER).tokens for place in places)


async def test_as_few_of_the_oldest_turns_are_cleared_as_it_takes() -> None:
    one = await ClearResults(keep_turns=1).compact(crowded(TURNS, ALL - 1))
    assert one == Compaction(keep=5, clear=1, strategy=CLEARED)
    assert await ClearResults(keep_turns=1).compact(crowded(TURNS, ALL - saved(0))) == one
    two = await ClearResults(keep_turns=1).compact(crowded(TURNS, ALL - saved(0) - 1))
    assert two == Compaction(keep=5, clear=3, strategy=CLEARED)


async def test_summaries_stay_and_count() -> None:
    summaries = (summary(0),)
    window = crowded(TURNS, ALL, summaries=summaries)
    assert await ClearResults(1).compact(window) == Compaction(keep=5, clear=1, summaries=summaries, strategy=CLEARED)


async def test_the_newest_turns_are_not_cleared() -> None:
    room = ALL - saved(0, 2)
    assert await ClearResults(keep_turns=2).compact(crowded(TURNS, room)) is not None
    assert await ClearResults(keep_turns=3).compact(crowded(TURNS, room)) is None
    assert await ClearResults(keep_turns=9).compact(crowded(TURNS, room)) is None


async def test_when_clearing_makes_too_little_room_nothing_is_cleared() -> None:
    assert await ClearResults(keep_turns=0).compact(crowded(TURNS, ALL - saved(0, 2, 3) - 1)) is None
    assert await ClearResults(keep_turns=0).compact(crowded(TURNS, ALL - saved(0, 2, 3))) is not None


async def test_when_everything_fits_there_is_nothing_to_do() -> None:
    assert await ClearResults(keep_turns=0).compact(crowded(TURNS, ALL)) is None


@given(conversation=conversations(), target=st.integers(0, 3000), keep_turns=st.integers(0, 4))
@settings(max_examples=settings().max_examples // 4)
async def test_what_is_cleared_fits(
    conversation: tuple[list[Summary], list[Turn], list[Turn]], target: int, keep_turns: int
) -> None:
    summaries, _, turns = conversation
    window = crowded(turns, target, summaries=summaries)
    compaction = await ClearResults(keep_turns).compact(window)
    if compaction is not None:
        check(compaction, window)
        assert compaction.keep - compaction.clear >= keep_turns
        less = Compaction(keep=compaction.keep, clear=compaction.clear - 1, summaries=summaries, strategy="")
        assert tokens_after(less, window) > target


def test_it_takes_no_time() -> None:
    assert not ClearResults().in_background

"""Makes room by leaving out the oldest turns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.compaction_rules import DROPPED
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.entries import Summary
from assistant_kit.protocols.compactor import Compaction
from assistant_kit.turns import Turn
from tests.compactors.crowding import HEADING, after, check, conversations, crowded, said, summary

pytestmark = pytest.mark.anyio


async def test_the_newest_turns_that_fit_are_kept() -> None:
    turns = [said(1), said(2), said(3)]  # 12 tokens each
    assert await DropOldest().compact(crowded(turns, 24)) == Compaction(keep=2, strategy=DROPPED)
    assert await DropOldest().compact(crowded(turns, 35)) == Compaction(keep=2, strategy=DROPPED)
    assert await DropOldest().compact(crowded(turns, 11)) == Compaction(keep=1, strategy=DROPPED)
    assert await DropOldest().compact(crowded(turns, 11, limit=11)) == Compaction(keep=0, strategy=DROPPED)


async def test_when_everything_fits_there_is_nothing_to_do() -> None:
    assert await DropOldest().compact(crowded([said(1), said(2), said(3)], 36)) is None


async def test_when_nothing_is_left_to_drop_there_is_nothing_to_do() -> None:
    assert await DropOldest().compact(crowded([], -1)) is None


async def test_the_newest_summaries_stay_in_a_quarter_of_the_room() -> None:
    summaries = [summary(1, "a" * 46), summary(2, "b" * 46), summary(3, "c" * 46)]  # 100 tokens each
    turns = [said(number, "q" * 390) for number in range(4, 8)]  # 401 tokens each
    compaction = await DropOldest().compact(crowded(turns, 1000, summaries=summaries))
    assert compaction == Compaction(keep=1, summaries=tuple(summaries[1:]), strategy=DROPPED)
    assert HEADING + 46 == 100


@given(conversation=conversations(), target=st.integers(0, 1500))
@settings(max_examples=settings().max_examples // 4)
async def test_what_is_kept_fits_and_what_fits_is_kept(
    conversation: tuple[list[Summary], list[Turn], list[Turn]], target: int
) -> None:
    summaries, _, turns = conversation
    window = crowded(turns, target, summaries=summaries)
    compaction = await DropOldest().compact(window)
    if compaction is None:
        return
    check(compaction, window)
    assert list(compaction.summaries) == summaries[len(summaries) - len(compaction.summaries) :]
    assert await DropOldest().compact(after(compaction, window)) is None


def test_it_takes_no_time() -> None:
    assert not DropOldest().in_background

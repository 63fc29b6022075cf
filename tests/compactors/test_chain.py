"""Several ways to make room, one after the other."""

import pytest

from assistant_kit.compaction_rules import DROPPED
from assistant_kit.compactors.chain import Chain
from assistant_kit.compactors.clear_results import CLEARED, ClearResults
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.compactors.summarize import Summarize
from tests.compactors.crowding import asked, crowded

pytestmark = pytest.mark.anyio
TURNS = [asked(number, "rain " * 100) for number in range(1, 4)]
ALL = sum(turn.tokens for turn in TURNS)


async def test_the_first_that_answers_decides() -> None:
    chain = Chain([ClearResults(keep_turns=1), DropOldest()])
    easy, hard = await chain.compact(crowded(TURNS, ALL - 1)), await chain.compact(crowded(TURNS, 600))
    assert easy is not None
    assert hard is not None
    assert (easy.strategy, easy.keep, easy.clear) == (CLEARED, 3, 1)
    assert (hard.strategy, hard.keep, hard.clear) == (DROPPED, 1, 0)


async def test_when_nobody_answers_there_is_no_answer() -> None:
    assert await Chain([ClearResults(), DropOldest()]).compact(crowded(TURNS, ALL)) is None
    assert await Chain([]).compact(crowded(TURNS, 0)) is None


def test_it_works_in_the_background_when_one_of_them_does() -> None:
    assert not Chain([ClearResults(), DropOldest()]).in_background
    assert Chain([ClearResults(), Summarize()]).in_background

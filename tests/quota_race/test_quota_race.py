"""A small race; ./scripts/quota-race runs the large one."""

import pytest

from tests.quota_race.race import Figures, Plan, StoreName, race


def test_threads_and_event_loops_of_one_process_never_pass_a_quota() -> None:
    figures = race("memory", Plan(runs=80, quota=20))
    assert (figures.admitted, figures.over, figures.short) == (20, 0, 0)


@pytest.mark.parametrize("store", ["sqlite"])
def test_processes_never_pass_a_quota_and_what_the_killed_reserved_comes_back(store: StoreName) -> None:
    figures = race(store, Plan(runs=60, quota=16, workers=2, lease=2.0))
    assert (figures.over, figures.short) == (0, 0)
    assert figures.returned == figures.held_by_killed
    assert not figures.wrong


def test_a_race_that_admits_too_many_or_gives_too_little_back_is_wrong() -> None:
    well = {"runs": 1, "admitted": 1, "over": 0, "short": 0, "held_by_killed": 3, "returned": 3}
    assert not Figures(**well).wrong
    for ill in ({"over": 1}, {"short": 1}, {"returned": 2}):
        assert Figures(**{**well, **ill}).wrong

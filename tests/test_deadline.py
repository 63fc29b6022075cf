"""A deadline is one point in time that everything in a run respects."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.deadline import Deadline

seconds = st.floats(0, 1e6)


def test_no_limit_means_never() -> None:
    never = Deadline.after(None, now=5.0)
    assert never == Deadline() == Deadline(inf)
    assert never.remaining(1e12) == inf
    assert never.allows(1e12, now=0.0)


@pytest.mark.parametrize(("now", "left"), [(10.0, 5.0), (15.0, 0.0), (20.0, 0.0)])
def test_what_remains_is_never_negative(now: float, left: float) -> None:
    assert Deadline.after(5.0, now=10.0).remaining(now) == left


def test_what_takes_until_the_deadline_does_not_finish_in_time() -> None:
    assert Deadline(10.0).allows(4.9, now=5.0)
    assert not Deadline(10.0).allows(5.0, now=5.0)


@given(seconds, st.none() | seconds, seconds)
def test_a_second_limit_can_only_shorten_the_first(at: float, limit: float | None, now: float) -> None:
    shorter = Deadline(at).earlier(limit, now=now)
    assert shorter.at <= at
    assert shorter.at == at or (limit is not None and shorter == Deadline.after(limit, now=now))

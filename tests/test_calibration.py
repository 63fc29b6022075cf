"""How a server's own count of a request relates to ours."""

from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.calibration import ENOUGH, RECENT, TEMPLATE, TRIVIAL, Calibration

SIZES = st.integers(1, 200_000)
LIMITS = st.integers(0, 400_000)


def known(*reports: tuple[int, int], trusted: bool = False) -> Calibration:
    calibration = Calibration(trusted=trusted)
    for predicted, reported in reports:
        calibration.observe(predicted, reported)
    return calibration


@st.composite
def steps(draw: st.DrawFn) -> Calibration:
    """A calibration after anything that may have happened."""
    calibration = Calibration(trusted=draw(st.booleans()))
    for predicted, reported, refused in draw(st.lists(st.tuples(SIZES, SIZES, st.booleans()), max_size=20)):
        if refused:
            calibration.overflowed(predicted, limit=reported)
        else:
            calibration.observe(predicted, reported)
    return calibration


def test_the_server_of_openai_is_known_from_the_start() -> None:
    calibration = Calibration(trusted=True)
    assert calibration.known
    assert [calibration.budget(tokens) for tokens in (0, 1, 119_808)] == [0, 1, 119_808]


def test_another_server_is_known_after_three_reports_of_more_than_a_trivial_size() -> None:
    calibration = Calibration()
    for predicted in (TRIVIAL - 1, 5_000, 5_000):
        calibration.observe(predicted, predicted)
    assert not calibration.known
    calibration.observe(5_000, 5_000)
    assert calibration.known


def test_a_server_that_counts_more_gets_less() -> None:
    # --8<-- [start:calibration]
    calibration = Calibration()
    for predicted, reported in ((2_000, 2_500), (4_000, 5_000), (8_000, 10_000)):
        calibration.observe(predicted, reported)
    room = calibration.budget(100_000)  # so many tokens, by our count, are at most 100,000 by the server's
    # --8<-- [end:calibration]
    assert room == 72_727


def test_before_that_there_is_room_for_the_template_of_the_server() -> None:
    calibration = Calibration()
    assert [calibration.budget(tokens) for tokens in (100, 10_000)] == [0, 10_000 - TEMPLATE]


@pytest.mark.parametrize("report", [(1_000, 0), (1_000, 499), (0, 50), (-5, 50), (1_000, -1_000)])
def test_what_says_nothing_about_the_tokenizer_is_passed_over(report: tuple[int, int]) -> None:
    assert not known(*[report] * 10).known
    assert known(report, trusted=True).budget(9_000) == 9_000


@given(
    ratio=st.floats(0.5, 4),
    fixed=st.integers(0, TEMPLATE),
    sizes=st.lists(st.integers(TRIVIAL, 200_000), min_size=ENOUGH, max_size=RECENT * 2),
    trivial=st.lists(st.integers(1, TRIVIAL), max_size=RECENT * 2),
    limit=st.integers(0, 400_000),
    share=st.floats(0, 1),
)
def test_a_known_server_is_never_exceeded(
    ratio: float, fixed: int, sizes: list[int], trivial: list[int], limit: int, share: float
) -> None:
    def server(predicted: int) -> int:
        return ceil(ratio * predicted + fixed)

    calibration = known(*((size, server(size)) for size in sizes + trivial))
    assert calibration.known
    most = calibration.budget(limit)
    assert most == 0 or server(most) <= limit
    assert most == 0 or server(int(most * share)) <= limit


@given(
    ratio=st.floats(0.7, 4),
    fixed=st.integers(0, TEMPLATE),
    sizes=st.lists(st.tuples(st.integers(TRIVIAL, 200_000), st.floats(0.99, 1.0)), min_size=ENOUGH, max_size=RECENT),
    limit=st.integers(0, 400_000),
)
def test_a_known_server_is_not_exceeded_when_its_texts_differ_by_a_percent(
    ratio: float, fixed: int, sizes: list[tuple[int, float]], limit: int
) -> None:
    calibration = known(*((size, ceil(ratio * size * noise + fixed)) for size, noise in sizes))
    most = calibration.budget(limit)
    assert most == 0 or ratio * most + fixed <= limit


@given(ratio=st.floats(1, 4), fixed=st.integers(0, TEMPLATE), size=st.integers(20_000, 200_000))
def test_little_is_given_away_once_much_was_seen(ratio: float, fixed: int, size: int) -> None:
    calibration = known(*[(size, ceil(ratio * size + fixed))] * 20)
    assert calibration.budget(ceil(ratio * size + fixed)) >= size * 0.96


@given(steps(), LIMITS, LIMITS)
def test_a_budget_is_never_more_than_what_it_is_made_from_and_grows_with_it(
    calibration: Calibration, one: int, other: int
) -> None:
    less, more = sorted((one, other))
    assert 0 <= calibration.budget(less) <= calibration.budget(more) <= more


@given(st.booleans(), st.lists(st.tuples(SIZES, SIZES), max_size=RECENT))
def test_what_was_seen_is_never_believed_to_cost_less(trusted: bool, reports: list[tuple[int, int]]) -> None:  # noqa: FBT001
    calibration = known(*reports, trusted=trusted)
    if calibration.known:
        for predicted, reported in reports:
            assert calibration.budget(reported - 1) < predicted or reported < predicted / 2


@given(steps(), SIZES, st.integers(1, 400_000))
def test_what_was_refused_does_not_fit_again(calibration: Calibration, predicted: int, limit: int) -> None:
    calibration.overflowed(predicted, limit=limit)
    assert calibration.budget(limit) < predicted


@given(steps(), st.integers(TRIVIAL, 200_000))
def test_the_margin_grows_at_once_when_a_request_is_refused(calibration: Calibration, limit: int) -> None:
    before = calibration.budget(limit)
    calibration.overflowed(before)
    assert calibration.budget(limit) <= before * 0.85 or before < TRIVIAL


def test_a_refused_request_of_no_tokens_tells_nothing() -> None:
    calibration = Calibration(trusted=True)
    calibration.overflowed(0, limit=50)
    assert calibration.budget(100) == 100


def test_a_freak_report_is_forgotten() -> None:
    calibration = known((10_000, 40_000), trusted=True)
    assert calibration.budget(100_000) < 25_001
    for _ in range(RECENT - 1):
        calibration.observe(10_000, 9_900)
    assert calibration.budget(100_000) < 25_001
    calibration.observe(10_000, 9_900)
    assert calibration.budget(100_000) == 100_000


def test_a_refusal_is_forgotten_as_well() -> None:
    calibration = known(trusted=True)
    calibration.overflowed(90_000)
    assert calibration.budget(100_000) == 72_727
    for _ in range(RECENT):
        calibration.observe(10_000, 10_000)
    assert calibration.budget(100_000) == 100_000


def test_small_requests_do_not_make_a_server_look_dear() -> None:
    small = [(50, 350), (250, 550)]
    assert known(*small * 2, (100_000, 100_300)).budget(128_000) > 110_000


def test_there_is_a_safety_for_small_requests_as_well() -> None:
    calibration = known(*[(100_000, 100_000)] * 3, *[(1_000, 1_990)] * 20)
    assert calibration.budget(2_010) < 1_000


def test_many_small_requests_do_not_hide_what_a_large_one_cost() -> None:
    calibration = known(*[(10_000, 20_000)] * 3, *[(50, 100)] * 500)
    assert calibration.budget(100_000) < 50_000


def test_the_safety_shrinks_with_the_number_of_reports() -> None:
    budgets = [known(*[(10_000, 15_000)] * count).budget(150_000) for count in (3, 6, 15, 60)]
    assert budgets == sorted(set(budgets[:3])) + budgets[2:3]
    assert budgets[0] == 90_909
    assert inf > budgets[3] > 98_000

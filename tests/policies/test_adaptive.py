"""A limit that finds its own way: up while it goes well, down on signs of overload, never out of its bounds."""

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ConfigurationError
from assistant_kit.policies._adaptive import Adaptive, Course, allowed, answered, overloaded, set_out

EVER = 1_000_000


@dataclass
class Server:
    """Answers in a second; with more than `capacity` calls it takes longer in proportion, or `refuses` some."""

    capacity: int
    scatter: Callable[[], float] = lambda: 1.0
    refuses: bool = False

    def seconds(self, running: int) -> float:
        return 0.1 if self.rejects(running) else self.scatter() * max(1.0, running / self.capacity)

    def rejects(self, running: int) -> bool:
        return self.refuses and running > self.capacity


def limits(course: Course, server: Server, *, answers: int, demand: int = EVER, failing: float = 0.0) -> Iterator[int]:
    """Call the server so many times, as many at once as is allowed and wanted; the limit after each answer."""
    chance = random.Random(1).random
    running: list[tuple[float, int, float, int, bool]] = []
    now = 0.0
    for number in range(answers):
        while len(running) < min(allowed(course), demand):
            inside = len(running) + 1
            bad = chance() < failing or server.rejects(inside)
            heapq.heappush(running, (now + server.seconds(inside), number * 1_000 + inside, now, course.epoch, bad))
        now, _, began, epoch, bad = heapq.heappop(running)
        if bad:
            course = overloaded(course, began_in=epoch)
        else:
            course = answered(course, began_in=epoch, seconds=now - began, running=len(running) + 1)
        yield allowed(course)


def settled(course: Course, server: Server, *, answers: int = 12_000) -> float:
    """Return the mean of the limit over the last third of so many answers."""
    return mean(list(limits(course, server, answers=answers))[-answers // 3 :])


@pytest.mark.parametrize("capacity", [5, 20, 60])
@pytest.mark.parametrize("start", [1, 10, 100])
def test_the_limit_settles_near_what_the_server_can_take(capacity: int, start: int) -> None:
    limit = settled(set_out(Adaptive(), start), Server(capacity))
    assert capacity / 1.5 <= limit <= capacity * 1.5


@pytest.mark.parametrize("capacity", [10, 20, 60])
@pytest.mark.parametrize("spread", [0.3, 0.6])
def test_the_limit_settles_though_service_times_scatter(capacity: int, spread: float) -> None:
    chance = random.Random(3)
    server = Server(capacity, lambda: chance.lognormvariate(0, spread))
    assert capacity / 1.6 <= settled(set_out(Adaptive(), 10), server, answers=15_000) <= capacity * 1.6


def test_what_the_server_can_take_may_change() -> None:
    server, found = Server(20), list[float]()

    def capacity_changes() -> Iterator[int]:
        for index, limit in enumerate(limits(set_out(Adaptive(), 10), server, answers=20_000)):
            server.capacity = 20 if index < 5_000 else 45 if index < 12_000 else 10
            yield limit

    course = list(capacity_changes())
    for end, capacity in ((5_000, 20), (12_000, 45), (20_000, 10)):
        found.append(mean(course[end - 2_000 : end]))
        assert capacity / 1.5 <= found[-1] <= capacity * 1.5, found


def test_a_server_that_becomes_slower_for_another_reason_does_not_keep_the_limit_down() -> None:
    server = Server(20)

    def becomes_slower() -> Iterator[int]:
        for index, limit in enumerate(limits(set_out(Adaptive(maximum=100), 10), server, answers=20_000)):
            server.scatter = (lambda: 1.0) if index < 4_000 else (lambda: 3.0)
            yield limit

    course = list(becomes_slower())
    assert 0 < sum(limit < 5 for limit in course[4_000:]) < 400  # it is lowered at first, and measured again soon
    assert 20 / 1.5 <= mean(course[-2_000:]) <= 20 * 1.5


@given(
    st.integers(1, 20),
    st.integers(0, 30),
    st.integers(1, 60),
    st.sampled_from([None, 1.1, 3.0]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.floats(0, 100), st.integers(0, 60)), max_size=200),
)
def test_the_limit_never_leaves_its_bounds(
    minimum: int, width: int, start: int, latency: float | None, outcomes: list[tuple[bool, int, float, int]]
) -> None:
    course = set_out(Adaptive(minimum=minimum, maximum=minimum + width, latency=latency), start)
    for bad, late, seconds, running in outcomes:
        began = course.epoch - late
        if bad:
            course = overloaded(course, began_in=began)
        else:
            course = answered(course, began_in=began, seconds=seconds, running=running)
        assert minimum <= allowed(course) <= minimum + width
        assert minimum <= course.limit <= minimum + width


def fails(course: Course, times: int, *, began_in: int) -> Course:
    for _ in range(times):
        course = overloaded(course, began_in=began_in)
    return course


def test_a_burst_of_failures_costs_a_tenth_once() -> None:
    course = set_out(Adaptive(latency=None), 100)
    after = fails(course, 100, began_in=course.epoch)
    assert allowed(after) == 90
    assert allowed(fails(after, 100, began_in=course.epoch)) == 90
    assert allowed(fails(after, 100, began_in=after.epoch)) == 81


def test_a_tenth_of_the_calls_may_fail_for_reasons_of_their_own() -> None:
    course = set_out(Adaptive(latency=None), 10)
    for _ in range(100):
        course = fails(course, 2, began_in=course.epoch)
        for _ in range(20):
            course = answered(course, began_in=course.epoch, seconds=1.0, running=5)
    assert allowed(course) == 10
    assert allowed(fails(course, 3, began_in=course.epoch)) == 9


def test_failures_that_go_on_bring_the_limit_to_its_minimum_and_successes_bring_it_back() -> None:
    course = set_out(Adaptive(minimum=2, maximum=50), 50)
    for _ in range(400):
        course = overloaded(course, began_in=course.epoch)
    assert allowed(course) == 2
    assert max(limits(course, Server(EVER), answers=5_000)) == 50


@pytest.mark.parametrize("capacity", [5, 20, 60])
def test_the_limit_settles_where_a_server_begins_to_refuse(capacity: int) -> None:
    limit = settled(set_out(Adaptive(latency=None), 100), Server(capacity, refuses=True))
    assert capacity / 1.5 <= limit <= capacity * 1.5


@pytest.mark.parametrize(("failing", "least", "most"), [(0.03, 20, 45), (0.3, 1, 5)])
def test_a_few_failures_cost_little_and_many_bring_the_limit_down(failing: float, least: int, most: int) -> None:
    course = list(limits(set_out(Adaptive(), 10), Server(30), answers=8_000, failing=failing))
    assert least <= mean(course[4_000:]) <= most


def test_a_limit_that_keeps_nobody_waiting_is_not_raised() -> None:
    assert set(limits(set_out(Adaptive(latency=None), 10), Server(EVER), answers=2_000, demand=5)) == {10}
    course = list(limits(set_out(Adaptive(), 10), Server(EVER), answers=2_000, demand=5))
    assert set(course) == {3, 10}


def test_slow_calls_are_no_sign_where_only_errors_count() -> None:
    course = list(limits(set_out(Adaptive(latency=None, maximum=80), 10), Server(5), answers=10_000))
    assert course[-1] == 80


def test_what_began_before_the_last_cut_says_nothing_of_the_limit_as_it_is() -> None:
    course = fails(set_out(Adaptive(latency=None), 10), 3, began_in=0)
    assert allowed(course) == 9
    for _ in range(1_000):
        assert answered(course, began_in=0, seconds=1.0, running=10) is course


@pytest.mark.parametrize(
    ("minimum", "maximum", "latency"), [(0, 10, 2.0), (11, 10, 2.0), (1, 10, 1.0), (1, 10, float("nan"))]
)
def test_settings_by_which_nothing_could_adapt_are_refused(minimum: int, maximum: int, latency: float) -> None:
    with pytest.raises(ConfigurationError):
        Adaptive(minimum=minimum, maximum=maximum, latency=latency)

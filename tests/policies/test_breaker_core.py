"""What a breaker decides, checked against a model that keeps every event and reckons everything anew."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import floor, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from assistant_kit.errors import ConfigurationError
from assistant_kit.policies._breaker import Breaker, BreakerRules, Ticket, Trip, admitted, opened, settled, wait
from assistant_kit.policies._breaker_sharing import decoded, encoded
from assistant_kit.policies._breaker_window import CountWindow, Figures, Outcome, TimeWindow, tally_of

OK: Outcome = "success"
FAILED: Outcome = "failure"
SLOW: Outcome = "slow"
IGNORED: Outcome = "ignored"
OUTCOMES: list[Outcome] = [OK, FAILED, SLOW, IGNORED]


# --- a model that a reader can check by eye


@dataclass
class Began:
    """A call that was let through; `state` is the number of the state in which it began."""

    at: float
    state: int
    probe: bool
    ended: bool = False


@dataclass
class Model:
    """Everything that ever happened. A state is its name and when it began; the last one is that of now."""

    rules: BreakerRules
    states: list[tuple[str, float]] = field(default_factory=lambda: [("closed", 0.0)])
    calls: list[Began] = field(default_factory=list[Began])
    results: list[tuple[float, int, Outcome]] = field(default_factory=list[tuple[float, int, Outcome]])
    open_for: float = 0.0

    @property
    def state(self) -> str:
        return self.states[-1][0]

    @property
    def number(self) -> int:
        return len(self.states) - 1

    def in_flight(self, now: float) -> int:
        timeout = self.rules.probe_timeout
        return sum(
            call.probe and call.state == self.number and not call.ended and now < call.at + timeout
            for call in self.calls
        )

    def lets(self, now: float) -> bool:
        if self.state == "closed":
            return True
        if self.state == "open":
            return now >= self.states[-1][1] + self.open_for
        return self.in_flight(now) < self.rules.probes

    def begin(self, now: float) -> Began:
        if self.state == "open":
            self.states.append(("half_open", now))
        began = Began(now, self.number, probe=self.state == "half_open")
        self.calls.append(began)
        return began

    def end(self, began: Began, outcome: Outcome, now: float) -> None:
        late = began.probe and now >= began.at + self.rules.probe_timeout
        stale = began.state != self.number or late
        began.ended = True
        if stale or outcome == "ignored":
            return
        self.results.append((now, self.number, outcome))
        if began.probe:
            passed = sum(number == self.number for _, number, _ in self.results)
            if outcome != "success":
                self.opens(now)
            elif passed >= self.rules.probes_needed:
                self.states.append(("closed", now))
        elif outcome != "success" and self.is_bad(now):
            self.opens(now)

    def is_bad(self, now: float) -> bool:
        here = [(at, outcome) for at, number, outcome in self.results if number == self.number]
        window = self.rules.window
        if isinstance(window, CountWindow):
            seen = [outcome for _, outcome in here][-window.calls :]
        else:
            tenth = window.seconds / 10
            seen = [outcome for at, outcome in here if floor(at / tenth) > floor(now / tenth) - 10]
        failed, slow = (seen.count(kind) / max(1, len(seen)) for kind in (FAILED, SLOW))
        bad = failed >= self.rules.failure_rate or slow >= self.rules.slow_rate
        return bad and len(seen) >= self.rules.min_calls

    def opens(self, now: float) -> None:
        """Reckon for how long from all that was before: trips in a row end at a long time of health."""
        self.states.append(("open", now))
        in_a_row = 0
        for (name, began), (after, left) in pairwise(self.states):
            if name == "closed" and left - began >= self.rules.max_open:
                in_a_row = 0
            if after == "open":
                in_a_row += 1
        self.open_for = min(self.rules.max_open, self.rules.open_for * 2.0 ** (in_a_row - 1))


RULES = st.builds(
    BreakerRules,
    window=st.one_of(st.integers(4, 12).map(CountWindow), st.sampled_from([10.0, 64.0]).map(TimeWindow)),
    min_calls=st.integers(1, 4),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    slow_rate=st.sampled_from([0.5, 1.0]),
    open_for=st.sampled_from([1.0, 8.0]),
    max_open=st.sampled_from([8.0, 40.0]),
    probes=st.integers(1, 3),
    probes_needed=st.integers(1, 4),
    probe_timeout=st.sampled_from([5.0, 100.0]),
)


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin and end in any order, at any time; the breaker and the model agree on everything."""

    @initialize(rules=RULES)
    def begin(self, rules: BreakerRules) -> None:
        self.breaker = Breaker(rules)
        self.model = Model(rules)
        self.now = 0.0
        self.slots = 0
        self.on_their_way: list[tuple[Ticket, Began]] = []

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 4.0, 8.0, 50.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_time_of_an_open_breaker_passes(self) -> None:
        if self.breaker.trip.state == "open":
            self.now = max(self.now, self.breaker.trip.until)

    @rule(count=st.integers(1, 6))
    def calls_come(self, count: int) -> None:
        for _ in range(count):
            lets = self.model.lets(self.now)
            assert (self.breaker.wait(self.now) == 0.0) == lets
            self.slots += 1
            ticket = self.breaker.admit(now=self.now, slot=str(self.slots))
            assert (ticket is not None) == lets
            if ticket is not None:
                self.on_their_way.append((ticket, self.model.begin(self.now)))

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), count=st.integers(1, 4))
    def calls_end(self, data: st.DataObject, outcome: Outcome, count: int) -> None:
        for _ in range(min(count, len(self.on_their_way))):
            index = data.draw(st.integers(0, len(self.on_their_way) - 1))
            ticket, began = self.on_their_way.pop(index)
            self.breaker.record(ticket, outcome, now=self.now, chance=0.0)
            self.model.end(began, outcome, self.now)

    @invariant()
    def both_say_the_same(self) -> None:
        trip, model = self.breaker.trip, self.model
        assert trip.state == model.state
        if trip.state == "open":
            assert trip.until == model.states[-1][1] + model.open_for
            assert trip.until - trip.since <= model.rules.max_open
        assert sum(until > self.now for _, until in trip.slots) <= model.rules.probes


def test_a_breaker_agrees_with_a_model_that_keeps_everything() -> None:
    run_state_machine_as_test(BreakerMachine, settings=settings(max_examples=100, stateful_step_count=40))


# --- what follows, one sentence each


def breaker_after(rules: BreakerRules, outcomes: Sequence[Outcome], *, step: float = 0.0) -> Breaker:
    breaker = Breaker(rules)
    for number, outcome in enumerate(outcomes):
        now = number * step
        ticket = breaker.admit(now=now, slot="s")
        if ticket is not None:
            breaker.record(ticket, outcome, now=now, chance=0.0)
    return breaker


@given(st.lists(st.sampled_from(OUTCOMES), max_size=19))
def test_a_breaker_never_opens_on_fewer_calls_than_it_needs(outcomes: list[Outcome]) -> None:
    assert breaker_after(BreakerRules(), outcomes).trip.state == "closed"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ((FAILED,) * 20, "open"),
        (["success", "failure"] * 10, "open"),
        ((OK,) * 11 + (FAILED,) * 9, "closed"),
        ((OK,) * 10 + (FAILED,) * 9 + (IGNORED,) * 10, "closed"),
        ((FAILED,) * 19 + (OK,), "closed"),
        ((FAILED,) * 19 + (OK,) + (FAILED,), "open"),
        ((SLOW,) * 20, "open"),
        ((SLOW,) * 19 + (OK,), "closed"),
        ((FAILED,) * 9 + (SLOW,) * 11, "closed"),
    ],
)
def test_the_share_of_failures_decides(outcomes: Sequence[Outcome], state: str) -> None:
    assert breaker_after(BreakerRules(failure_rate=0.5), outcomes).trip.state == state


def test_a_rate_is_reached_when_it_is_met_exactly() -> None:
    rules = BreakerRules(failure_rate=0.07, min_calls=100)
    assert breaker_after(rules, (OK,) * 94 + (FAILED,) * 6).trip.state == "closed"
    assert breaker_after(rules, (OK,) * 93 + (FAILED,) * 7).trip.state == "open"


def test_a_window_of_calls_forgets_the_oldest() -> None:
    rules = BreakerRules(window=CountWindow(20), failure_rate=0.5)
    outcomes = (OK,) * 20 + (FAILED,) * 9 + (OK,) * 11 + (FAILED,) * 9
    breaker = breaker_after(rules, outcomes)
    assert (breaker.trip.state, breaker.figures.calls, breaker.figures.failures) == ("closed", 20, 9)


def test_a_window_of_seconds_forgets_what_is_too_old() -> None:
    rules = BreakerRules(window=TimeWindow(100.0), min_calls=4)
    failing = (FAILED,) * 30
    assert breaker_after(rules, failing, step=40.0).trip.state == "closed"
    assert breaker_after(rules, failing, step=20.0).trip.state == "open"


def test_a_window_of_seconds_is_emptied_when_its_breaker_changes_its_state() -> None:
    tally = tally_of(TimeWindow(100.0))
    for now in (1.0, 50.0):
        tally.add("failure", now)
    tally.clear()
    assert tally.figures == Figures()
    tally.add("success", 51.0)
    assert tally.figures.calls == 1


def test_a_window_of_seconds_keeps_nothing_that_is_as_old_as_itself() -> None:
    tally = tally_of(TimeWindow(100.0))
    tally.add(SLOW, 0.0)
    tally.add(FAILED, 5.0)
    tally.add(OK, 99.0)
    assert tally.figures == Figures(calls=3, failures=1, slow=1)
    tally.add(OK, 100.0)
    assert tally.figures == Figures(calls=2)


@given(chance=st.floats(0, 1), trips=st.integers(0, 5000))
def test_an_open_time_doubles_up_to_its_limit_less_a_fifth_by_chance(chance: float, trips: int) -> None:
    rules = BreakerRules(open_for=10.0, max_open=300.0)
    trip = opened(Trip(state="half_open", trips=trips), rules, now=50.0, chance=chance)
    full = min(300.0, 10.0 * 2.0 ** min(trips, 20))
    assert trip.trips == trips + 1
    assert 0.8 * full - 1e-9 <= trip.until - trip.since <= full


@pytest.mark.parametrize(("healthy", "trips"), [(299.0, 4), (300.0, 1)])
def test_trips_are_forgotten_after_a_long_healthy_time(healthy: float, trips: int) -> None:
    trip = Trip(state="closed", trips=3, since=100.0)
    assert opened(trip, BreakerRules(max_open=300.0), now=100.0 + healthy, chance=0.0).trips == trips


@given(ends=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(OUTCOMES)), max_size=60))
def test_results_of_an_earlier_state_change_nothing(ends: list[tuple[int, Outcome]]) -> None:
    breaker = Breaker(BreakerRules())
    early = [breaker.admit(now=0.0, slot="") for _ in range(51)]
    for _ in range(20):
        breaker.record(Ticket(0), "failure", now=0.0, chance=0.0)
    probe = breaker.admit(now=10.0, slot="probe")
    assert probe == Ticket(1 + 1, "probe")
    before = breaker.trip
    for index, outcome in ends:
        ticket = early[index]
        assert ticket is not None
        breaker.record(ticket, outcome, now=10.0, chance=0.0)
    assert breaker.trip is before


def test_a_slot_of_which_nothing_is_heard_is_free_after_its_time() -> None:
    rules = BreakerRules(probe_timeout=60.0)
    half, _ = admitted(Trip(state="open", until=10.0), rules, now=10.0, slot="lost")
    assert wait(half, rules, 69.9) > 0
    assert wait(half, rules, 70.0) == 0
    again, let = admitted(half, rules, now=70.0, slot="new")
    assert let
    assert again.slots == (("new", 130.0),)
    for outcome in OUTCOMES:
        assert settled(again, rules, now=71.0, slot="lost", outcome=outcome, chance=0.0) is again


@given(seed=st.integers(0, 10_000))
def test_after_enough_healthy_probes_a_breaker_is_closed(seed: int) -> None:
    chance = random.Random(seed)
    rules = BreakerRules(probes=chance.randint(1, 4), probes_needed=chance.randint(1, 5))
    breaker = breaker_after(rules, (FAILED,) * 20)
    now = breaker.trip.until
    for number in range(rules.probes_needed):
        assert breaker.trip.state != "closed"
        ticket = breaker.admit(now=now, slot=str(number))
        assert ticket is not None
        breaker.record(ticket, "success", now=now, chance=0.0)
    assert breaker.trip.state == "closed"
    assert breaker.figures.calls == 0


def test_only_own_probes_keep_their_slots_when_the_trip_of_all_is_taken_over() -> None:
    breaker = Breaker(BreakerRules(probes=2))
    told = Trip(state="half_open", generation=5, slots=(("another", 60.0),))
    breaker.adopt(told)
    assert breaker.trip == replace(told, slots=())
    assert breaker.admit(now=1.0, slot="own") is not None
    breaker.adopt(replace(told, generation=6, slots=(("own", 61.0), ("another", 60.0))))
    assert [name for name, _ in breaker.trip.slots] == ["own"]


def test_generations_grow_even_when_a_place_has_lost_its_values() -> None:
    before = opened(Trip(generation=3), BreakerRules(), now=1000.0, chance=0.0)
    assert opened(Trip(), BreakerRules(), now=1001.0, chance=0.0).generation > before.generation
    assert opened(before, BreakerRules(), now=1000.0, chance=0.0).generation > before.generation


# --- a trip as it stands at a place


TRIPS = st.builds(
    Trip,
    state=st.sampled_from(["closed", "open", "half_open"]),
    generation=st.integers(0, 2**60),
    trips=st.integers(0, 100),
    since=st.floats(0, 1e10),
    until=st.floats(0, 1e10),
    passed=st.integers(0, 10),
    slots=st.dictionaries(st.text(), st.floats(0, 1e10), max_size=3).map(lambda slots: tuple(slots.items())),
)


@given(TRIPS)
def test_a_trip_is_read_as_it_was_written(trip: Trip) -> None:
    assert decoded(encoded(trip)) == trip


@given(st.one_of(st.binary(), st.sampled_from([b"[]", b"{}", b'{"state":"ajar"}', b"1", b"null"])))
def test_what_cannot_be_read_is_as_good_as_nothing(value: bytes) -> None:
    assert decoded(value) == Trip()


def test_a_number_that_is_none_is_as_good_as_nothing() -> None:
    whole = encoded(Trip(generation=7))
    assert decoded(whole.replace(b"7", b"Infinity")) == Trip()
    assert decoded(whole.replace(b"{}", b"[]")) == Trip()


# --- rules that could not work


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_calls": 0},
        {"probes": 0},
        {"probes_needed": 0},
        {"window": CountWindow(19)},
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"slow_rate": 0.0},
        {"open_for": 0.0},
        {"open_for": 301.0},
        {"max_open": inf},
        {"probe_timeout": 0.0},
        {"slow_after": 0.0},
    ],
)
def test_rules_by_which_nothing_could_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        BreakerRules(**wrong)  # pyright: ignore[reportArgumentType]


def test_windows_that_remember_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        CountWindow(0)
    with pytest.raises(ConfigurationError):
        TimeWindow(0.0)

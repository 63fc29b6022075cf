"""The queue of a bulkhead agrees with a naive one, whatever arrives, ends, is cancelled, or changes the limit."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assistant_kit.policies._queue import PRIORITIES, Line, Ticket
from assistant_kit.protocols.policy import Priority

priorities = st.sampled_from(PRIORITIES)


def busy(limit: int, *, queue: int = 9, service: float) -> Line:
    """A line with no free place, whose calls have taken so many seconds."""
    line = Line(limit=limit, queue=queue)
    line.served(service)
    for _ in range(limit):
        arrive(line)
    return line


def arrive(line: Line, priority: Priority = "interactive", *, patience: float = inf, time_left: float = inf) -> Ticket:
    return line.arrive(priority, patience=patience, time_left=time_left)[0]


# --- against a naive model


class NaiveLine(RuleBasedStateMachine):
    """Keeps calls in plain lists, sorts and searches them anew each time, and expects `Line` to say the same."""

    @initialize(limit=st.integers(1, 4), queue=st.integers(0, 5))
    def begin(self, limit: int, queue: int) -> None:
        self.line = Line(limit=limit, queue=queue)
        self.limit, self.queue = limit, queue
        self.running: list[Ticket] = []
        self.waiting: list[Ticket] = []  # in the order of arrival
        self.gone: list[Ticket] = []
        self.arrived = self.refused = self.shed = 0
        self.lowered = False

    def served_next(self) -> list[Ticket]:
        """Let in whoever may go now, and return them in their order."""
        let_in: list[Ticket] = []
        while self.waiting and len(self.running) < self.limit:
            first = min(self.waiting, key=lambda ticket: PRIORITIES.index(ticket.priority))
            self.waiting.remove(first)
            self.running.append(first)
            let_in.append(first)
        return let_in

    @rule(priority=priorities)
    def a_call_arrives(self, priority: Priority) -> None:
        self.arrived += 1
        ticket, shed = self.line.arrive(priority)
        below = [one for one in self.waiting if PRIORITIES.index(one.priority) > PRIORITIES.index(priority)]
        expected = None
        if len(self.running) < self.limit:
            assert ticket.state == "running"
            self.running.append(ticket)
        elif len(self.waiting) < self.queue or below:
            assert ticket.state == "waiting"
            if len(self.waiting) >= self.queue:
                expected = below[-1]
                assert expected.state == "shed"
                self.waiting.remove(expected)
                self.gone.append(expected)
                self.shed += 1
            self.waiting.append(ticket)
        else:
            assert ticket.state == "refused"
            self.gone.append(ticket)
            self.refused += 1
        assert shed is expected

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def a_call_ends(self, data: st.DataObject) -> None:
        self.leaves(data.draw(st.sampled_from(self.running)))

    @precondition(lambda self: bool(self.waiting))
    @rule(data=st.data())
    def a_waiting_call_is_cancelled_or_its_deadline_passes(self, data: st.DataObject) -> None:
        self.leaves(data.draw(st.sampled_from(self.waiting)))

    @precondition(lambda self: bool(self.gone))
    @rule(data=st.data())
    def who_has_left_leaves_again(self, data: st.DataObject) -> None:
        assert self.line.leave(data.draw(st.sampled_from(self.gone))) == ()

    @rule(limit=st.integers(1, 6))
    def the_limit_moves(self, limit: int) -> None:
        self.lowered = self.lowered or limit < self.limit
        self.limit = limit
        assert list(self.line.resize(limit)) == self.served_next()

    def leaves(self, ticket: Ticket) -> None:
        let_in = self.line.leave(ticket)
        (self.running if ticket in self.running else self.waiting).remove(ticket)
        self.gone.append(ticket)
        assert list(let_in) == self.served_next()

    @invariant()
    def both_agree(self) -> None:
        if hasattr(self, "line"):
            assert self.line.running == len(self.running)
            assert all(ticket.state == "running" for ticket in self.running)
            assert all(ticket.state == "waiting" for ticket in self.waiting)
            for priority in PRIORITIES:
                assert self.line.waiting(priority) == sum(one.priority == priority for one in self.waiting)
            assert (self.line.refused, self.line.shed) == (self.refused, self.shed)

    @invariant()
    def nobody_is_lost_and_no_place_either(self) -> None:
        if hasattr(self, "line"):
            assert self.arrived == len(self.running) + len(self.waiting) + len(self.gone)
            assert self.line.waiting() <= self.queue
            assert self.line.running <= self.limit or self.lowered
            assert not self.line.waiting() or self.line.running >= self.limit

    def teardown(self) -> None:
        if hasattr(self, "line"):
            while self.running:
                self.leaves(self.running[0])
            assert (self.line.running, self.line.waiting()) == (0, 0)


NaiveLine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestNaiveLine = NaiveLine.TestCase


# --- who waits, and who is turned away


def test_who_waits_is_served_by_priority_and_then_in_the_order_of_arrival() -> None:
    line = Line(limit=1, queue=9)
    running = arrive(line)
    back_1, front_1, back_2, front_2 = (
        arrive(line, priority) for priority in ("background", "interactive", "background", "interactive")
    )
    order = list[Ticket]()
    while let_in := line.leave(running):
        (running,) = let_in
        order.append(running)
    assert order == [front_1, front_2, back_1, back_2]


def test_a_full_queue_sheds_the_newest_background_call_for_an_interactive_one() -> None:
    line = Line(limit=1, queue=2)
    arrive(line)
    old, new = arrive(line, "background"), arrive(line, "background")
    assert arrive(line, "background").state == "refused"
    ticket, shed = line.arrive("interactive")
    assert (ticket.state, shed, new.state, old.state) == ("waiting", new, "shed", "waiting")
    assert line.arrive("interactive")[1] is old
    assert line.arrive("interactive")[0].state == "refused"
    assert (line.refused, line.shed) == (2, 2)


def test_nothing_is_guessed_before_the_first_call_has_ended() -> None:
    line = Line(limit=1, queue=9)
    arrive(line)
    assert line.estimate("interactive") is None
    assert arrive(line, patience=0.001, time_left=0.001).state == "waiting"


def test_a_call_that_would_wait_too_long_by_the_recent_service_time_is_refused_at_once() -> None:
    line = busy(2, service=10.0)
    assert line.estimate("interactive") == 5
    assert arrive(line, patience=4.9).state == "refused"
    assert arrive(line, patience=5.0).state == "waiting"
    assert line.estimate("interactive") == 10
    assert arrive(line, patience=9.9).state == "refused"


def test_a_call_that_would_end_after_its_deadline_is_refused_at_once() -> None:
    line = busy(2, service=10.0)
    assert arrive(line, time_left=14.9).state == "refused"
    assert arrive(line, time_left=15.0).state == "waiting"


def test_a_hopeless_call_sheds_nobody() -> None:
    line = busy(1, queue=1, service=10.0)
    waiting = arrive(line, "background")
    assert arrive(line, patience=1.0).state == "refused"
    assert waiting.state == "waiting"


def test_only_what_goes_before_a_call_counts_in_its_wait() -> None:
    line = busy(1, service=1.0)
    arrive(line)
    arrive(line, "background")
    assert (line.estimate("interactive"), line.estimate("background")) == (2, 3)


def test_a_lowered_limit_lengthens_the_wait_and_a_free_place_makes_it_nothing() -> None:
    line = Line(limit=4, queue=9)
    line.served(1.0)
    assert line.estimate("interactive") == 0
    for _ in range(4):
        arrive(line)
    assert line.estimate("interactive") == 0.25
    line.resize(1)
    assert line.estimate("interactive") == 4


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_service_time_lies_between_the_shortest_and_the_longest(seconds: list[float]) -> None:
    line = Line(limit=1, queue=0)
    for each in seconds:
        line.served(each)
    assert line.service is not None
    assert min(seconds) * (1 - 1e-9) <= line.service <= max(seconds) * (1 + 1e-9)


def test_the_service_time_is_the_mean_at_first_and_follows_a_change_then() -> None:
    line = Line(limit=1, queue=0)
    for seconds in (1.0, 2.0, 3.0):
        line.served(seconds)
    assert line.service == pytest.approx(2.0)
    for _ in range(50):
        line.served(40.0)
    assert line.service == pytest.approx(40.0, rel=0.02)

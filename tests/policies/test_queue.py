"""The queue of a bulkhead agrees with a naive one, whatever arrives, ends, is cancelled, or changes the limit."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assistant_kit.policies._queue import PRIORITIES, Line, Ticket
from assistant_kit.protocols.policy import Priority

priorities = st.sampled_from(PRIORITIES)
users = st.sampled_from(["", "ann", "bob"])


def busy(limit: int, *, queue: int = 9, service: float) -> Line:
    """A line with no free place, whose calls have taken so many seconds."""
    line = Line(limit=limit, queue=queue)
    line.served(service)
    for _ in range(limit):
        arrive(line)
    return line


def arrive(
    line: Line,
    priority: Priority = "interactive",
    user: str = "",
    *,
    patience: float = inf,
    time_left: float = inf,
) -> Ticket:
    return line.arrive(priority, user, patience=patience, time_left=time_left)[0]


# --- against a naive model


class NaiveLine(RuleBasedStateMachine):
    """Keeps calls in plain lists, sorts and searches them anew each time, and expects `Line` to say the same."""

    @initialize(limit=st.integers(1, 4), queue=st.integers(0, 5))
    def begin(self, limit: int, queue: int) -> None:
        self.line = Line(limit=limit, queue=queue)
        self.limit, self.queue = limit, queue
        self.running: list[Ticket] = []
        self.waiting: list[Ticket] = []  # in the order of arrival
        self.turns: dict[Priority, list[str]] = {priority: [] for priority in PRIORITIES}
        self.gone: list[Ticket] = []
        self.arrived = self.refused = self.shed = 0
        self.lowered = False

    def served_next(self) -> list[Ticket]:
        """Let in whoever may go now, and return them in their order."""
        let_in: list[Ticket] = []
        while self.waiting and len(self.running) < self.limit:
            priority: Priority = next(each for each in PRIORITIES if self.turns[each])
            first = self.of(priority, self.turns[priority][0])[0]
            self.turns[priority].append(first.user)
            self.turns[priority].pop(0)
            self.goes(first)
            self.running.append(first)
            let_in.append(first)
        return let_in

    def of(self, priority: Priority, user: str) -> list[Ticket]:
        return [ticket for ticket in self.waiting if (ticket.priority, ticket.user) == (priority, user)]

    def goes(self, ticket: Ticket) -> None:
        """Take a ticket out of the queue, and its user out of the round with the last one."""
        self.waiting.remove(ticket)
        if not self.of(ticket.priority, ticket.user):
            self.turns[ticket.priority].remove(ticket.user)

    def makes_room(self, priority: Priority, user: str) -> Ticket | None:
        for each in reversed(PRIORITIES):
            queues = [self.of(each, user) for user in reversed(self.turns[each])]
            most = max(queues, key=len) if queues else None
            if most:
                below = PRIORITIES.index(each) > PRIORITIES.index(priority)
                unfair = each == priority and len(most) > len(self.of(priority, user)) + 1
                return most[-1] if below or unfair else None
        return None

    @rule(priority=priorities, user=users)
    def a_call_arrives(self, priority: Priority, user: str) -> None:
        self.arrived += 1
        full = len(self.waiting) >= self.queue
        out = self.makes_room(priority, user) if full else None
        ticket, shed = self.line.arrive(priority, user)
        expected = None
        if len(self.running) < self.limit:
            assert ticket.state == "running"
            self.running.append(ticket)
        elif not full or out:
            assert ticket.state == "waiting"
            if out:
                expected = out
                assert expected.state == "shed"
                self.goes(expected)
                self.gone.append(expected)
                self.shed += 1
            self.waiting.append(ticket)
            if user not in self.turns[priority]:
                self.turns[priority].append(user)
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
        if ticket in self.running:
            self.running.remove(ticket)
        else:
            self.goes(ticket)
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


@given(
    lengths=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2),
    data=st.data(),
)
@settings(max_examples=40)
def test_between_two_calls_of_a_user_who_waits_nobody_else_has_more_than_one(
    lengths: dict[str, int], data: st.DataObject
) -> None:
    """However many calls the others have in the queue, and add while it is served."""
    line = Line(limit=1, queue=1000)
    running = arrive(line)
    for user, count in data.draw(st.permutations(sorted(lengths.items()))):
        for _ in range(count):
            arrive(line, "background", user)
    since: dict[str, list[str]] = {user: [] for user in lengths}  # who was served since the last call of each
    while let_in := line.leave(running):
        (running,) = let_in
        lengths[running.user] -= 1
        for user, served in since.items():
            if user != running.user and lengths[user]:
                assert running.user not in served
                served.append(running.user)
        since[running.user] = []
        if data.draw(st.booleans(), "comes again") and sum(lengths.values()) < 200:
            arrive(line, "background", running.user)
            lengths[running.user] += 1


@given(lengths=st.lists(st.tuples(users, st.integers(1, 6)), max_size=6), turns=st.integers(0, 9), user=users)
def test_the_wait_that_is_expected_counts_those_who_go_before(
    lengths: list[tuple[str, int]], turns: int, user: str
) -> None:
    line = busy(1, queue=1000, service=1.0)
    for other, count in lengths:
        for _ in range(count):
            arrive(line, user=other)
    for _ in range(turns):
        line.running = 0
        line.resize(1)
    line.running = 1
    expected = line.estimate("interactive", user)
    mine = arrive(line, user=user)
    assert mine.expected == expected
    served = 0
    while mine.state == "waiting":
        line.running = 0
        line.resize(1)
        served += 1
    assert served == expected


def test_a_full_queue_sheds_the_newest_of_the_user_with_most_calls_for_one_of_another() -> None:
    line = Line(limit=1, queue=4)
    arrive(line)
    first, second, third = (arrive(line, user="ann") for _ in range(3))
    arrive(line, user="bob")
    assert arrive(line, user="ann").state == "refused"
    assert line.arrive("interactive", "eve")[1] is third
    assert arrive(line, user="ann").state == "refused"
    assert arrive(line, user="bob").state == "refused"  # he would have as many as she has now
    assert line.arrive("interactive", "joe")[1] is second
    assert [ticket.state for ticket in (first, second, third)] == ["waiting", "shed", "shed"]
    assert arrive(line, "background", "zoe").state == "refused"


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

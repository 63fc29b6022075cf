"""Whatever happens, no window of time lets more through than its limit and what was saved up, and all go in order."""

import random
from collections import deque
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from assistant_kit.policies._rate_news import heard, micros, refused, succeeded
from assistant_kit.policies._token_bucket import (
    LEARNED_FOR,
    LEASE,
    SECOND,
    UNIT,
    Line,
    Rates,
    Ticket,
    apart,
    ask,
    cancel,
    charged_with,
    fitted,
    leave,
    lowered,
    reserve,
    settle,
    spacing,
    time_to_full,
    wait_behind,
)
from assistant_kit.usage import RateLimits

PEAKS = 32


@dataclass
class Charge:
    """What a call takes of one limit, in units: as reserved, and as known by now."""

    at: int
    reserved: int
    taken: int
    counts: bool = True


@dataclass
class Naive:
    """A bucket that keeps its whole history, and reckons it anew each time somebody asks."""

    limit: int
    room: int
    begun: int

    def __post_init__(self) -> None:
        self.charges: list[Charge] = []

    def level(self, at: int) -> int:
        level, time = self.room, self.begun
        for charge in self.charges:
            level = min(self.room, level + self.limit * (charge.at - time)) - charge.taken
            time = charge.at
        return min(self.room, level + self.limit * (at - time))

    def may_go(self, at: int, units: int) -> bool:
        return self.level(at) >= min(units, self.room)

    def holds_in_every_window(self) -> bool:
        counted = [charge for charge in self.charges if charge.counts]
        return all(
            sum(charge.taken for charge in counted[first : last + 1])
            <= max(self.room, counted[last].reserved) + self.limit * (counted[last].at - counted[first].at)
            for first in range(len(counted))
            for last in range(first, len(counted))
        )


Held: TypeAlias = tuple[Ticket, Charge, Charge]


class LimitedLine(RuleBasedStateMachine):
    """Callers reserve, settle and cancel while time goes by; beside them the naive buckets."""

    tickets = Bundle[Held]("tickets")

    @initialize(
        requests=st.integers(1, 10), tokens=st.integers(1, 60), burst=st.sampled_from([0, 1, SECOND, UNIT, 3 * UNIT])
    )
    def begin(self, requests: int, tokens: int, burst: int) -> None:
        self.now = 7
        self.events = 0
        self.queue: dict[int, tuple[int, int]] = {}
        self.line = fitted(None, Rates(requests=requests, tokens=tokens, burst=burst), now=self.now)
        self.requests = Naive(requests, requests * burst, self.now)
        self.tokens = Naive(tokens, tokens * burst, self.now)

    @rule(passed=st.one_of(st.integers(0, 3), st.integers(0, 2 * UNIT), st.sampled_from([SECOND, UNIT // 2, UNIT])))
    def time_passes(self, passed: int) -> None:
        self.now += passed

    @rule(target=tickets, who=st.integers(0, 4), tokens=st.one_of(st.just(0), st.integers(0, 70)))
    def asks(self, who: int, tokens: int) -> MultipleResults[Held]:
        self.queue = {name: one for name, one in self.queue.items() if one[1] > self.now or name == who}
        tokens = self.queue.get(who, (tokens, 0))[0]
        self.queue[who] = (tokens, self.now + LEASE)
        before = list(takewhile(lambda name: name != who, self.queue))
        all_may_go = self._all_may_go([self.queue[name][0] for name in (*before, who)])
        self.line, answer = ask(self.line, str(who), tokens=tokens, now=self.now)
        if isinstance(answer, int):
            assert self.events >= PEAKS or not all_may_go, "nobody waits for nothing"
            return multiple()
        assert all_may_go, "nobody goes at the cost of those before"
        assert answer.at == self.now
        del self.queue[who]
        charges = self._charged(tokens)
        return multiple((answer, *charges))

    @rule(who=st.integers(0, 4))
    def leaves(self, who: int) -> None:
        self.line = leave(self.line, str(who))
        self.queue.pop(who, None)

    def _all_may_go(self, wanted: list[int]) -> bool:
        known, events = len(self.requests.charges), self.events
        known_tokens = len(self.tokens.charges)
        may = True
        for tokens in wanted:
            may = may and self.requests.may_go(self.now, UNIT) and self.tokens.may_go(self.now, tokens * UNIT)
            self._charged(tokens)
        del self.requests.charges[known:], self.tokens.charges[known_tokens:]
        self.events = events
        return may

    def _charged(self, tokens: int) -> tuple[Charge, Charge]:
        self.events += 1
        request = Charge(self.now, UNIT, UNIT)
        reserved = Charge(self.now, tokens * UNIT, tokens * UNIT)
        self.requests.charges.append(request)
        self.tokens.charges.append(reserved)
        return request, reserved

    @rule(held=consumes(tickets), share=st.sampled_from([0, 0.3, 0.5, 0.9, 1, 1.4]), sent=st.booleans())
    def settles(self, held: Held, share: float, *, sent: bool) -> None:
        ticket, request, reserved = held
        actual = int(ticket.tokens * share)
        self.line = settle(self.line, ticket, requests=int(sent), tokens=actual, now=self.now)
        request.taken = UNIT if sent else 0
        reserved.taken = min(actual, ticket.tokens) * UNIT
        if actual > ticket.tokens:
            self.events += 1
            debt = (actual - ticket.tokens) * UNIT
            self.tokens.charges.append(Charge(self.now, 0, debt, counts=False))

    @rule(held=consumes(tickets))
    def cancels(self, held: Held) -> None:
        ticket, request, reserved = held
        self.line = cancel(self.line, ticket, now=self.now)
        request.taken = reserved.taken = 0

    @invariant()
    def every_charge_is_accounted_for(self) -> None:
        for bucket, naive in ((self.line.requests, self.requests), (self.line.tokens, self.tokens)):
            assert bucket is not None
            assert bucket.level <= naive.level(self.line.front), "never more than there is"
            assert self.events >= PEAKS or bucket.level == naive.level(self.line.front), "and nothing is lost"
            assert len(bucket.peaks) <= PEAKS

    def teardown(self) -> None:
        if hasattr(self, "line"):
            assert self.requests.holds_in_every_window()
            assert self.tokens.holds_in_every_window()


LimitedLine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
test_a_line_holds_its_limits_in_every_window_of_time_and_loses_nothing = LimitedLine.TestCase


def test_a_hundred_thousand_events_hold_the_limits() -> None:
    chance = random.Random(5)
    line = fitted(None, Rates(requests=600, tokens=200_000, burst=30 * SECOND), now=0)
    now, most, events = 0, 0, 0
    waiting = deque[int]()
    running: list[tuple[int, Ticket]] = []
    went: list[tuple[int, int, int, int]] = []
    while events < 100_000:
        now += int(chance.expovariate(8) * SECOND)
        waiting.append(int(chance.expovariate(1 / 1000)))
        while waiting:
            events += 1
            line, ticket = ask(line, "w", tokens=waiting[0], now=now)
            if isinstance(ticket, int):
                break
            running.append((len(went), ticket))
            went.append((ticket.at, waiting.popleft(), 1, ticket.tokens))
        most = max(most, len(waiting))
        while len(running) > 60:
            events += 1
            place, ended = running.pop(chance.randrange(60))
            sent = int(chance.random() < 0.9)
            used = int(ended.tokens * min(1.0, chance.expovariate(2))) * sent
            line = settle(line, ended, requests=sent, tokens=used, now=now)
            went[place] = (ended.at, ended.tokens, sent, used)
    assert _replayed([(at, UNIT, sent * UNIT) for at, _, sent, _ in went], limit=600, room=600 * 30 * SECOND)
    used_tokens = [(at, reserved * UNIT, used * UNIT) for at, reserved, _, used in went]
    assert _replayed(used_tokens, limit=200_000, room=200_000 * 30 * SECOND)
    # Half a million tokens a minute were reserved and less than 200,000 used: what was given back let others go.
    assert sum(reserved for _, reserved, _, _ in went) > 2 * 200_000 * now // UNIT
    assert most < 500


def _replayed(went: list[tuple[int, int, int]], *, limit: int, room: int) -> bool:
    """Tell whether calls that went so, `(at, reserved, used)`, hold the limit in every window."""
    level, time = room, 0
    for at, reserved, used in went:
        level = min(room, level + limit * (at - time)) - used
        time = at
        if level < min(0, room - reserved):
            return False
    return True


# --- what one call sees


def line(rates: Rates, *, now: int = 0) -> Line:
    return fitted(None, rates, now=now)


def waits(line: Line, *tokens: int, now: int = 0) -> list[float]:
    """Return the seconds that calls wait which come at once."""

    def after(so_far: tuple[Line, float], tokens: int) -> tuple[Line, float]:
        following, ticket = reserve(so_far[0], tokens=tokens, now=now)
        return following, (ticket.at - now) / SECOND

    return [wait for _, wait in list(accumulate(tokens, after, initial=(line, 0.0)))[1:]]


def test_what_was_saved_up_goes_at_once_and_the_rest_at_the_rate() -> None:
    assert waits(line(Rates(requests=60, burst=3 * SECOND)), 0, 0, 0, 0, 0) == [0, 0, 0, 1, 2]
    assert waits(line(Rates(requests=60, burst=0)), 0, 0, 0) == [0, 1, 2]
    assert waits(line(Rates(tokens=600, burst=SECOND)), 10, 5, 5) == [0, 0.5, 1]


def test_a_call_that_is_larger_than_the_burst_goes_when_all_is_there_and_is_paid_off_afterwards() -> None:
    assert waits(line(Rates(tokens=60, burst=10 * SECOND)), 30, 0, 30, 1) == [0, 20, 30, 51]


def test_both_limits_are_charged_when_a_call_goes_and_not_when_it_is_first_in_one_of_them() -> None:
    both = line(Rates(requests=60, tokens=60, burst=SECOND))
    # The first one's tokens are paid off after 9 s. Then requests go a second apart as ever, not nine at once.
    assert waits(both, 10, 0, 0, 0) == [0, 9, 10, 11]


def test_without_a_limit_nobody_waits() -> None:
    assert waits(line(Rates()), 10**9, 10**9) == [0, 0]
    assert time_to_full(line(Rates())) == 0


def test_what_could_not_have_been_saved_up_is_not_given_back() -> None:
    rates = Rates(tokens=60)
    first, early = reserve(line(rates), tokens=60, now=0)
    full, _ = reserve(fitted(first, rates, now=UNIT), tokens=60, now=UNIT)
    after = settle(full, early, requests=1, tokens=1, now=UNIT)
    # The bucket was full again when the second call went: had the first taken less, it would have held no more.
    assert waits(after, 60, now=UNIT) == [60]


def test_what_one_call_gives_back_fills_the_bucket_for_the_next_that_does() -> None:
    rates = Rates(tokens=60, burst=100 * SECOND)
    first, a = reserve(line(rates), tokens=60, now=0)
    second, b = reserve(first, tokens=30, now=0)
    later = 80 * SECOND
    third, _ = reserve(fitted(second, rates, now=later), tokens=90, now=later)
    # Without the first two the bucket had been full when the third went: 100, of which 90 are taken.
    after = cancel(cancel(third, a, now=later), b, now=later)
    assert waits(after, 10, 1, now=later) == [0, 1]


def test_of_more_levels_than_are_remembered_less_is_given_back_and_never_more() -> None:
    naive = Naive(60, 60 * 1000 * SECOND, 0)
    rates = Rates(tokens=60, burst=1000 * SECOND)
    limited, chance, now = line(rates), random.Random(3), 0
    held: list[tuple[Ticket, Charge]] = []
    for _ in range(150):
        now += chance.randrange(5 * SECOND)
        limited, ticket = reserve(fitted(limited, rates, now=now), tokens=chance.randrange(1, 12), now=now)
        assert ticket.at == now
        naive.charges.append(Charge(now, ticket.tokens * UNIT, ticket.tokens * UNIT))
        held.append((ticket, naive.charges[-1]))
    chance.shuffle(held)
    for ticket, charge in held:
        limited = cancel(limited, ticket, now=now)
        charge.taken = 0
        assert limited.tokens is not None
        assert len(limited.tokens.peaks) <= PEAKS
        assert limited.tokens.level <= naive.level(now)
    assert naive.level(now) == naive.room
    assert limited.tokens is not None
    assert limited.tokens.level > 0.9 * naive.room


def test_a_call_from_before_the_limit_was_known_or_changed_gives_nothing_back() -> None:
    unlimited, early = reserve(line(Rates()), tokens=50, now=0)
    limited = fitted(unlimited, Rates(tokens=60, requests=60), now=0)
    drawn, _ = reserve(limited, tokens=60, now=0)
    assert waits(cancel(drawn, early, now=0), 60) == [60]
    wider = fitted(drawn, Rates(tokens=120, requests=60), now=0)
    assert waits(cancel(wider, early, now=0), 60) == [30]
    assert fitted(wider, Rates(), now=0).tokens is None
    assert waits(fitted(line(Rates(tokens=60)), Rates(tokens=60, burst=SECOND), now=0), 1, 1) == [0, 1]


def test_a_ticket_of_another_line_changes_nothing() -> None:
    drawn, ticket = reserve(line(Rates(tokens=60)), tokens=60, now=0)
    alone = apart(drawn, now=0)
    assert cancel(alone, ticket, now=0) == alone
    assert cancel(drawn, ticket, now=0) != drawn


def test_who_waits_goes_before_all_who_come_later() -> None:
    limited = line(Rates(tokens=60, burst=10 * SECOND))
    limited, ticket = ask(limited, "a", tokens=10, now=0)
    assert isinstance(ticket, Ticket)
    limited, wait = ask(limited, "large", tokens=8, now=0)
    assert wait == 8 * SECOND
    limited, wait = ask(limited, "small", tokens=1, now=4 * SECOND)
    assert wait == 5 * SECOND, "although four are there"
    _, gone = ask(leave(limited, "large"), "small", tokens=1, now=4 * SECOND)
    assert isinstance(gone, Ticket)
    limited = settle(limited, ticket, requests=1, tokens=5, now=4 * SECOND)
    limited, gone = ask(limited, "small", tokens=1, now=4 * SECOND)
    assert isinstance(gone, Ticket), "both may go now, so nobody is held up by who has not asked again"
    assert [one.who for one in limited.waiting] == ["large"]


def test_who_does_not_ask_again_for_five_seconds_has_left_the_line() -> None:
    limited, _ = reserve(line(Rates(requests=6, burst=0)), tokens=0, now=0)
    limited, wait = ask(limited, "dead", tokens=0, now=0)
    assert wait == 10 * SECOND
    limited, wait = ask(limited, "b", tokens=0, now=LEASE - 1)
    assert wait == 15 * SECOND + 1
    _, wait = ask(limited, "b", tokens=0, now=LEASE)
    assert wait == 5 * SECOND


def test_the_wait_behind_others_is_foretold_without_taking_a_place() -> None:
    limited = line(Rates(requests=60, tokens=600, burst=SECOND))
    assert wait_behind(limited, calls=5, taken=0, tokens=0, now=0) == 5 * SECOND
    assert wait_behind(limited, calls=1, taken=100, tokens=10, now=0) == 10 * SECOND
    assert wait_behind(limited, calls=5, taken=0, tokens=0, now=0, weight=3) == 15 * SECOND


@given(calls=st.integers(2, 20), workers=st.integers(1, 5))
def test_workers_that_are_alone_charge_each_call_as_often_as_there_are_workers(calls: int, workers: int) -> None:
    limited = line(Rates(requests=60, burst=0))
    for _ in range(calls - 1):
        limited, _ = reserve(limited, tokens=0, now=0, weight=workers)
    assert reserve(limited, tokens=0, now=0, weight=workers)[1].at == (calls - 1) * workers * SECOND


def test_what_a_lone_worker_has_used_is_missing_from_the_shared_line_by_its_share() -> None:
    rates = Rates(requests=60, tokens=600)
    shared = line(rates)
    alone = lowered(shared, requests=10, tokens=300)
    assert waits(charged_with(shared, alone, share=5), *[0] * 50, 0)[-2:] == [0, 1]
    assert charged_with(line(Rates()), alone, share=5) == line(Rates())


# --- what a server says


LIMITED = Rates(requests=60, tokens=600)


def test_the_server_is_believed_when_it_says_that_less_is_left() -> None:
    told = heard(line(LIMITED), RateLimits(requests_left=1, tokens_left=100), LIMITED, said=0, now=0)
    assert waits(told, 0, 0) == [0, 1]
    assert waits(told, 110) == [1]
    assert heard(told, RateLimits(requests_left=30, tokens_left=500), LIMITED, said=0, now=0).requests == told.requests


def test_old_news_is_worth_what_has_come_in_since() -> None:
    now = 10 * SECOND
    told = heard(line(LIMITED), RateLimits(tokens_left=0, tokens_reset=60.0), LIMITED, said=0, now=now)
    assert told.blocked == UNIT
    told = heard(line(LIMITED), RateLimits(tokens_left=0), LIMITED, said=0, now=now)
    assert waits(told, 100, 0, now=now) == [0, 0]
    assert waits(told, 110, now=now) == [1]


def test_where_nothing_is_left_nobody_goes_before_the_reset() -> None:
    told = heard(line(Rates()), RateLimits(requests_left=0, requests_reset=7.0), Rates(), said=0, now=0)
    assert waits(told, 0, 0) == [7, 7]


def test_limits_that_a_server_names_hold_until_there_is_no_news_for_ten_minutes() -> None:
    named = RateLimits(requests_limit=60, requests_left=59, tokens_limit=600, tokens_left=1)
    told = heard(line(Rates()), named, Rates(), said=0, now=0)
    assert waits(told, 1, 1) == [0, 0.1]
    told = heard(told, RateLimits(requests_left=1), Rates(), said=0, now=SECOND)
    told = heard(told, replace(named, tokens_left=0), Rates(), said=0, now=SECOND - 1)
    assert fitted(told, Rates(), now=LEARNED_FOR - 1).requests is not None
    assert fitted(told, Rates(), now=LEARNED_FOR).requests is None
    configured = Rates(requests=30)
    told = heard(line(configured), RateLimits(requests_limit=6000, tokens_limit=0), configured, said=0, now=0)
    assert told.requests is not None
    assert told.requests.limit == 30
    assert told.tokens is None


def refusal(line: Line, *, now: int, retry_after: float | None = None) -> Line:
    line, ticket = reserve(line, tokens=0, now=now)
    return refused(line, ticket, retry_after=retry_after, now=max(now, ticket.at))


def test_a_refusal_stops_all_for_as_long_as_the_server_asks_and_leaves_nothing_saved_up() -> None:
    told = refusal(line(LIMITED), now=0, retry_after=2.0)
    assert waits(told, 0, 0, 0, 0) == [2, 2, 3, 4]


def test_without_a_word_from_the_server_the_pause_doubles_until_a_call_succeeds() -> None:
    told = line(Rates())
    ends = list[float]()
    for _ in range(9):
        told = refusal(told, now=told.blocked)
        ends.append(told.blocked / SECOND)
    assert [round(after - before) for before, after in zip([0, *ends], ends, strict=False)] == [
        *(1, 2, 4, 8, 16, 32),
        *(60, 60, 60),
    ]
    assert spacing(told.strikes) == 6 * SECOND
    told, ticket = reserve(told, tokens=0, now=told.blocked)
    assert succeeded(told, ticket).strikes == 0
    assert spacing(0) == 0


def test_calls_that_were_on_their_way_at_the_first_refusal_change_nothing() -> None:
    begun, first = reserve(line(Rates()), tokens=0, now=0)
    begun, second = reserve(begun, tokens=0, now=0)
    told = refused(begun, first, retry_after=None, now=10)
    assert refused(told, second, retry_after=None, now=20) == told
    assert succeeded(told, second).strikes == 1


def test_until_a_call_succeeds_those_who_waited_go_apart() -> None:
    told = refusal(line(Rates()), now=0)
    assert waits(told, 0, 0, 0) == [1, 1.1, 1.2]


def test_a_time_that_no_server_means_is_a_day_at_most() -> None:
    assert micros(float("inf")) == 86_400 * SECOND
    assert micros(-1.0) == 0

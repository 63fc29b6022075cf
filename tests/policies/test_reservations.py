"""What is reserved and used of a quota, whatever workers do, lose, repeat and forget, and however time passes."""

import calendar
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from assistant_kit.errors import QuotaExceeded, StoreCorrupt, StoreTooNew
from assistant_kit.policies._claims import Claim
from assistant_kit.policies._reservations import Book, Window, closed, opened, reserve, settle, window
from assistant_kit.protocols.shared_state import Change, T

MINUTE, LEASE, LIMIT = 60, 10.0, 20
MOMENTS = st.floats(0, 4e9, allow_nan=False)


def utc(*date: int) -> int:
    return calendar.timegm((*date, 0, 0, 0)[:6])


# --- windows


@pytest.mark.parametrize(
    ("length", "start", "end"),
    [
        ("minute", utc(2028, 2, 29, 23, 59), utc(2028, 3, 1)),
        ("hour", utc(2028, 2, 29, 23), utc(2028, 3, 1)),
        ("day", utc(2028, 2, 29), utc(2028, 3, 1)),
        ("month", utc(2028, 2, 1), utc(2028, 3, 1)),
        (7, 262_215_000 * 7, 262_215_001 * 7),
    ],
)
def test_a_window_is_one_of_the_calendar_or_of_seconds(length: Window, start: int, end: int) -> None:
    now = utc(2028, 2, 29, 23, 59, 59) if length != 7 else start + 6.9
    assert window(length, now) == (start, end)


def test_a_year_ends_with_december() -> None:
    assert window("month", utc(2026, 12, 31, 12)) == (utc(2026, 12, 1), utc(2027, 1, 1))


@given(length=st.sampled_from(["minute", "hour", "day", "month", 1, 45, 100_000]), now=MOMENTS)
def test_every_moment_lies_in_one_window(length: Window, now: float) -> None:
    start, end = window(length, now)
    assert start <= now < end
    assert window(length, start) == (start, end)
    assert window(length, end)[0] == end


# --- values


def test_a_book_is_read_as_it_was_kept() -> None:
    book = Book(start=60, used=7, held={"a": (3, 61_500), "b": (0, 1)})
    assert opened(closed(book), MINUTE, 61.0) == book


def test_a_book_of_an_earlier_window_is_over() -> None:
    assert opened(closed(Book(start=60, used=7)), MINUTE, 120.0) == Book(start=120)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'["x"]',
        b"[1,2]",
        b"[1,2,3,4,5,6]",
        b'[1,2,3,["a"],[1],[]]',
        b'[1,2,3,["a"],[],[]]',
        b'[1,2,3,["a"],["1"],[1]]',
        b'[1,2,3,["a"],[1.5],[1]]',
        b'[1,"2",3,[],[],[]]',
        b"\xff",
    ],
)
def test_a_value_that_is_none_is_an_error_and_no_new_allowance(value: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        opened(value, MINUTE, 0.0)


def test_a_value_of_a_newer_version_is_not_touched() -> None:
    with pytest.raises(StoreTooNew) as caught:
        opened(json.dumps([2, 0, 0, {}]).encode(), MINUTE, 0.0)
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_what_expired_is_remembered_up_to_a_thousand_the_newest() -> None:
    book: Book | None = Book(start=0)
    for number in range(1100):
        assert book is not None
        book = reserve(book, f"crashed {number}", 1, limit=1, now=float(number), lease=0.5)
    assert book is not None
    assert len(book.held) == 1001
    assert settle(book, "crashed 0", 1).used == 0
    assert settle(book, "crashed 1000", 1).used == 1


def test_a_repeated_reservation_is_agreed_to_although_more_was_used_meanwhile_than_anybody_reserved() -> None:
    book = reserve(Book(start=0), "first", 5, limit=10, now=0.0, lease=LEASE)
    book = reserve(book, "second", 5, limit=10, now=0.0, lease=LEASE) if book else None
    assert book is not None
    spent = settle(book, "second", 9)
    assert reserve(spent, "first", 5, limit=10, now=1.0, lease=LEASE) == spent
    assert reserve(spent, "first", 5, limit=10, now=LEASE, lease=LEASE) is None


# --- any history


@dataclass
class Place:
    """One value, and a clock that never runs backwards."""

    now: float = float(utc(2026, 11, 22))
    value: bytes | None = None

    def update(self, change: Change[T]) -> T:
        changed = change(self.value, self.now)
        self.value = changed.value
        return changed.result


@dataclass
class Reserved:
    """A reservation, as it was agreed upon."""

    amount: int
    until: float
    window: int


@dataclass
class Agreed:
    """What anybody who was told everything would know; written without a look at the code that is tested."""

    used: dict[int, int] = field(default_factory=dict[int, int])
    open: dict[str, Reserved] = field(default_factory=dict[str, Reserved])

    def live(self, now: float) -> int:
        this = minute_of(now)
        return sum(one.amount for one in self.open.values() if one.window == this and one.until > now)

    def total(self, now: float) -> int:
        return self.used.get(minute_of(now), 0) + self.live(now)


def minute_of(now: float) -> int:
    moment = datetime.fromtimestamp(now, UTC)
    return int(moment.replace(second=0, microsecond=0).timestamp())


def claim(amount: int) -> Claim:
    return Claim(quota="q", unit="tokens", limit=LIMIT, window="minute", owner="u", key="k", amount=amount)


class Histories(RuleBasedStateMachine):
    """Workers reserve, settle, release, renew, die and repeat; time passes, over leases and windows."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.agreed = Agreed()
        self.names = 0

    @rule(target=calls, amount=st.integers(0, LIMIT + 2), lost=st.booleans())
    def reserve(self, amount: int, lost: bool) -> object:  # noqa: FBT001  (drawn)
        self.names += 1
        name = f"call {self.names}"
        before, now = self.agreed.total(self.place.now), self.place.now
        refused = self.place.update(claim(amount).take(name, LEASE)).refusal
        if lost and refused is None:  # nobody was told, and asks again
            assert self.place.update(claim(amount).take(name, LEASE)).refusal is None
        assert (refused is None) == (amount == 0 or before + amount <= LIMIT)
        if refused is not None:
            assert isinstance(refused, QuotaExceeded)
            assert (refused.needed, refused.left) == (amount, max(0, LIMIT - before))
            assert refused.retry_after == minute_of(now) + 60 - now
            return cast("object", multiple())
        self.agreed.open[name] = Reserved(amount=amount, until=now + LEASE, window=minute_of(now))
        assert amount == 0 or self.agreed.total(now) <= LIMIT
        return name

    @rule(name=calls)
    def reserve_again_much_later(self, name: str) -> None:
        """A repetition is late: the reservation may have expired, been settled, or be of an earlier window."""
        now, one = self.place.now, self.agreed.open.get(name)
        if one is None or one.window != minute_of(now):
            return  # who has settled a call, or outlived its window, does not reserve it again
        lives = one.until > now
        admitted = self.place.update(claim(one.amount).take(name, LEASE)).refusal is None
        assert admitted == (lives or one.amount == 0 or self.agreed.total(now) + one.amount <= LIMIT)
        if admitted and not lives:
            one.until = now + LEASE

    @rule(name=consumes(calls), used=st.integers(0, LIMIT + 5), times=st.integers(1, 3))
    def settle(self, name: str, used: int, times: int) -> None:
        for _ in range(times):
            self.place.update(claim(0).book(name, used))
        one = self.agreed.open.pop(name)
        if one.window == minute_of(self.place.now):
            self.agreed.used[one.window] = self.agreed.used.get(one.window, 0) + used

    @rule(name=calls)
    def renew(self, name: str) -> None:
        self.place.update(claim(0).prolong(name, LEASE))
        one = self.agreed.open[name]
        if one.window == minute_of(self.place.now):
            one.until = self.place.now + LEASE

    @rule(name=st.text(max_size=3), used=st.integers(1, LIMIT))
    def settle_what_nobody_reserved(self, name: str, used: int) -> None:
        self.place.update(claim(0).book(name, used))
        self.place.update(claim(0).prolong(name, LEASE))

    @rule(seconds=st.one_of(st.integers(0, 3), st.integers(4, 12), st.integers(20, 70)))
    def time_passes(self, seconds: int) -> None:
        self.place.now += seconds

    @invariant()
    def the_value_says_what_was_agreed(self) -> None:
        now = self.place.now
        used, reserved, rest = self.place.update(claim(0).look())
        assert used == self.agreed.used.get(minute_of(now), 0)
        assert reserved == self.agreed.live(now)
        assert 0 < rest <= MINUTE


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)

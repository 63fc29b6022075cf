"""What may be tried again is bounded by what succeeds, and whoever watches knows when nothing may be."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from assistant_kit.errors import ConfigurationError
from assistant_kit.retry_budget import RetryBudget

keys = st.sampled_from(["a", "b"])


class Histories(RuleBasedStateMachine):
    """Keeps what each bucket holds in plain numbers, and expects the budget to say the same."""

    @initialize(cost=st.integers(1, 4), more=st.integers(0, 8))
    def begin(self, cost: int, more: int) -> None:
        self.cost, self.capacity = cost, cost + more
        self.budget = RetryBudget(capacity=self.capacity, cost=cost)
        self.left = dict.fromkeys("ab", self.capacity)
        self.retries = dict.fromkeys("ab", 0)
        self.successes = dict.fromkeys("ab", 0)
        self.told: list[bool] = []
        self.budget.watch(lambda: self.told.append(self.budget.used_up))

    @rule(key=keys)
    def a_retry_is_asked_for(self, key: str) -> None:
        allowed = self.left[key] >= self.cost
        assert self.budget.spend(key) == allowed
        if allowed:
            self.left[key] -= self.cost
            self.retries[key] += 1

    @rule(key=keys)
    def a_call_succeeds(self, key: str) -> None:
        self.budget.earn(key)
        self.left[key] = min(self.capacity, self.left[key] + 1)
        self.successes[key] += 1

    @invariant()
    def retries_are_bounded_by_what_succeeded(self) -> None:
        if hasattr(self, "budget"):
            for key in "ab":
                assert self.budget.left(key) == self.left[key]
                assert 0 <= self.left[key] <= self.capacity
                assert self.retries[key] * self.cost <= self.capacity + self.successes[key]

    @invariant()
    def whoever_watches_knows_whether_anything_is_used_up(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.used_up == (min(self.left.values()) < self.cost)
            assert self.budget.lowest == min(self.left.values())
            assert self.told == [number % 2 == 0 for number in range(len(self.told))]
            assert (self.told[-1] if self.told else False) == self.budget.used_up


Histories.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestHistories = Histories.TestCase


@pytest.mark.parametrize(("capacity", "cost"), [(5, 0), (5, 6)])
def test_a_budget_by_which_nothing_could_be_retried_is_refused(capacity: int, cost: int) -> None:
    with pytest.raises(ConfigurationError):
        RetryBudget(capacity=capacity, cost=cost)


def test_it_is_told_when_the_first_bucket_is_used_up_and_when_none_is_any_more() -> None:
    budget, told = RetryBudget(capacity=2, cost=2), list[bool]()

    def see() -> None:
        told.append(budget.used_up)

    budget.watch(see)
    budget.watch(see)
    assert budget.spend("a")
    assert budget.spend("b")
    assert not budget.spend("a")
    assert told == [True]
    for _ in range(2):
        budget.earn("a")
    assert told == [True]
    for _ in range(3):
        budget.earn("b")
    assert told == [True, False]


def test_a_bucket_that_is_forgotten_is_not_used_up_any_more() -> None:
    budget = RetryBudget(capacity=4, cost=3)
    assert budget.spend("first")
    assert budget.used_up
    for number in range(1_000):
        budget.spend(str(number))
        for _ in range(2):
            budget.earn(str(number))
    assert budget.left("first") == 4
    assert not budget.used_up

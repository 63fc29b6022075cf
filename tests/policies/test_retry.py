"""A failed call is made again after a pause, in time, and only when that can do no harm."""

from dataclasses import dataclass, field, replace
from math import inf

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    AssistantKitError,
    ConfigurationError,
    InvalidArguments,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
    StoreBusy,
    ToolError,
)
from assistant_kit.events import Event, Retrying, TextRetracted
from assistant_kit.policies.retry import Retry, asked_to_wait, backoff, passing
from assistant_kit.protocols.model import Progress
from assistant_kit.protocols.policy import Call, ConditionChanged, Policy
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.tool_spec import Effect, Keyed
from assistant_kit.usage import RateLimits
from tests.policies.timing import in_virtual_time

DOWN = ModelUnavailable("down", model="m")


@dataclass
class Provider:
    """Fails with each of `failures`, then answers."""

    failures: list[BaseException]
    asked: list[float] = field(default_factory=list[float])

    async def answer(self, _: Call) -> str:
        self.asked.append(anyio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def call(
    *,
    effect: Effect = "read",
    started: bool = False,
    until: float = inf,
    seen: list[Event] | None = None,
) -> Call:
    return Call(
        kind="model",
        name="m",
        effect=effect,
        progress=Progress(started=started),
        deadline=Deadline(until),
        notify=([] if seen is None else seen).append,
    )


def limited(seconds: float | None) -> ModelRateLimited:
    return ModelRateLimited("slow down", model="m", retry_after=seconds)


def always(chance: float, *, attempts: int = 3, base: float = 1.0, cap: float = 8.0) -> Retry:
    return Retry(attempts=attempts, base=base, cap=cap, uniform=lambda: chance)


# --- the decision


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ModelUnreachable("x", model="m"), True),
        (ModelTimeout("x", model="m"), True),
        (ModelRateLimited("x", model="m"), True),
        (ModelUnavailable("x", model="m"), True),
        (ModelUnauthorized("x", model="m"), False),
        (ModelRejected("x", model="m"), False),
        (ModelBroke("x", model="m"), True),
        (ModelError("x", model="m"), False),
        (ModelUnavailable("x", model="m", should_retry=False), False),
        (ModelRejected("x", model="m", should_retry=True), True),
        (ToolError("x"), False),
        (InvalidArguments("x"), False),
        (StoreBusy("x"), False),
    ],
)
def test_only_what_is_likely_to_pass_is_tried_again(error: AssistantKitError, passes: bool) -> None:  # noqa: FBT001
    assert passing(error) == passes
    assert (always(1.0).next_delay(call(), error, attempt=1, now=0.0) is not None) == passes


def test_the_pause_grows_threefold_at_most_up_to_its_cap() -> None:
    retry, pauses = always(1.0, attempts=9), [0.0]
    for attempt in range(1, 6):
        delay = retry.next_delay(call(), DOWN, attempt=attempt, now=0.0, pause=pauses[-1])
        assert delay is not None
        pauses.append(delay)
    assert pauses == [0, 1, 3, 8, 8, 8]


def test_the_last_attempt_is_the_last() -> None:
    assert always(0.5, attempts=3).next_delay(call(), DOWN, attempt=2, now=0.0) is not None
    assert always(0.5, attempts=3).next_delay(call(), DOWN, attempt=3, now=0.0) is None
    assert always(0.5, attempts=1).next_delay(call(), DOWN, attempt=1, now=0.0) is None


def test_a_call_with_a_visible_effect_is_not_made_again() -> None:
    assert always(0.5).next_delay(call(started=True), DOWN, attempt=1, now=0.0) is None


@pytest.mark.parametrize(
    ("effect", "repeated"), [("read", True), ("idempotent", True), ("once", False), (Keyed(60), False)], ids=str
)
def test_a_call_is_made_again_only_if_its_effect_allows_it(effect: Effect, repeated: bool) -> None:  # noqa: FBT001
    delay = always(0.5).next_delay(call(effect=effect), DOWN, attempt=1, now=0.0)
    assert (delay is not None) == repeated


def test_the_provider_may_ask_for_a_longer_pause_but_not_for_a_shorter_one() -> None:
    assert always(1.0).next_delay(call(), limited(30.0), attempt=1, now=0.0) == 30.0
    assert always(1.0).next_delay(call(), limited(0.1), attempt=1, now=0.0) == 1.0
    assert always(1.0).next_delay(call(), limited(None), attempt=1, now=0.0) == 1.0


def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    assert always(1.0).next_delay(call(until=110.0), limited(9.0), attempt=1, now=100.0) == 9.0
    assert always(1.0).next_delay(call(until=110.0), limited(10.0), attempt=1, now=100.0) is None
    assert always(1.0).next_delay(call(), limited(inf), attempt=1, now=100.0) is None


@given(st.floats(0, 1e9), st.floats(0, 60), st.floats(0, 60), st.floats(0, 1))
def test_a_pause_lies_between_the_base_and_three_times_the_pause_before_and_under_the_cap(
    pause: float, base: float, cap: float, chance: float
) -> None:
    following = backoff(pause, base=base, cap=cap, chance=chance)
    assert 0 <= following <= cap
    assert following <= max(base, 3 * pause)
    assert not pause or following >= min(base, cap)


@given(st.integers(1, 12))
def test_by_default_the_jitter_is_random_and_within_bounds(attempt: int) -> None:
    delay = Retry(attempts=13).next_delay(call(), DOWN, attempt=attempt, now=0.0, pause=1.0)
    assert delay is not None
    assert 0.5 <= delay <= 3.0


def test_where_the_provider_names_no_pause_the_reset_of_its_limit_counts() -> None:
    used_up = RateLimits(requests_left=3, requests_reset=1.0, tokens_left=0, tokens_reset=20.0)
    error = ModelRateLimited("slow down", model="m", limits=used_up)
    assert always(1.0).next_delay(call(), error, attempt=1, now=0.0) == 20.0
    assert asked_to_wait(ModelRateLimited("x", model="m", limits=RateLimits(tokens_left=0))) == 0
    assert asked_to_wait(ModelUnavailable("x", model="m", limits=used_up)) == 0
    assert asked_to_wait(ModelRateLimited("x", model="m", retry_after=2.0, limits=used_up)) == 2


# --- the budget


@pytest.mark.anyio
async def test_in_an_outage_all_runs_together_retry_no_more_than_the_budget_has() -> None:
    retry = Retry(base=0, budget=RetryBudget(capacity=50, cost=10))
    provider = Provider([DOWN] * 1000)
    with anyio.fail_after(5):
        for _ in range(100):
            with pytest.raises(ModelUnavailable):
                await retry.around(call(), provider.answer)
    assert len(provider.asked) == 105
    assert not retry.health()["retry budget"].ok


@pytest.mark.anyio
async def test_it_is_told_when_the_budget_is_used_up_and_when_it_is_not_any_more() -> None:
    told: list[ConditionChanged] = []
    retry = Retry(base=0, budget=RetryBudget(capacity=10, cost=10))
    retry.report_to(told.append)
    retry.report_to(told.append)
    provider = Provider([DOWN])
    with anyio.fail_after(5):
        for _ in range(11):
            await retry.around(call(), provider.answer)
    states = [(one.name, one.before, one.after, one.condition.ok) for one in told]
    assert states == [("retry budget", "ok", "used up", False), ("retry budget", "used up", "ok", True)]


@pytest.mark.anyio
async def test_successes_at_the_first_attempt_earn_retries() -> None:
    budget = RetryBudget(capacity=10, cost=10)
    assert budget.spend("model:m")
    retry = Retry(base=0, budget=budget)
    provider = Provider([])
    for _ in range(10):
        await retry.around(call(), provider.answer)
    assert budget.lowest == 10
    provider.failures.append(DOWN)
    assert await retry.around(call(), provider.answer) == "answer"
    assert budget.left("model:m") == 0
    assert retry.health()["retry budget"].state == "used up"


def test_each_upstream_has_a_budget_of_its_own() -> None:
    budget = RetryBudget(capacity=20, cost=10)
    assert [budget.spend("a"), budget.spend("a"), budget.spend("a"), budget.spend("b")] == [True, True, False, True]
    budget.earn("b")
    assert (budget.left("a"), budget.left("b"), budget.left("c"), budget.lowest) == (0, 11, 20, 0)
    for _ in range(9):
        budget.earn("b")
    budget.earn("c")
    assert (budget.left("b"), budget.left("c")) == (20, 20)


def test_only_so_many_upstreams_are_remembered() -> None:
    budget = RetryBudget(capacity=10, cost=10)
    for number in range(1_001):
        assert budget.spend(f"k{number}")
    assert (budget.left("k0"), budget.left("k1")) == (10, 0)


@pytest.mark.parametrize(("capacity", "cost"), [(0, 0), (10, 11), (10, 0)])
def test_a_budget_from_which_nothing_could_ever_be_spent_is_refused(capacity: int, cost: int) -> None:
    with pytest.raises(ConfigurationError):
        RetryBudget(capacity=capacity, cost=cost)


def test_what_applies_to_a_call_is_told() -> None:
    retry = Retry(attempts=4)
    assert "4 attempts" in retry.explain(call())
    assert "never" in retry.explain(call(effect="once"))


# --- the driver


@pytest.mark.anyio
async def test_a_call_that_fails_for_a_while_succeeds_in_the_end() -> None:
    provider, seen = Provider([DOWN, DOWN]), list[Event]()
    policy: Policy = Retry(base=0)
    with anyio.fail_after(5):
        assert await policy.around(call(seen=seen), provider.answer) == "answer"
    assert seen == [Retrying(attempt=2, delay=0, error=DOWN), Retrying(attempt=3, delay=0, error=DOWN)]


@pytest.mark.anyio
async def test_the_last_error_is_raised_as_it_is() -> None:
    last = ModelTimeout("late", model="m")
    provider = Provider([DOWN, DOWN, last])
    with anyio.fail_after(5), pytest.raises(ModelTimeout) as caught:
        await Retry(base=0).around(call(), provider.answer)
    assert caught.value is last
    assert len(provider.asked) == 3


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ModelRejected("no", model="m"), ValueError("a mistake"), KeyboardInterrupt()])
async def test_an_error_that_will_not_pass_is_raised_at_once(error: BaseException) -> None:
    provider, seen = Provider([error]), list[Event]()
    with anyio.fail_after(5), pytest.raises(type(error)):
        await Retry(base=0).around(call(seen=seen), provider.answer)
    assert len(provider.asked) == 1
    assert seen == []


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ConnectionResetError("by ann's host"), TimeoutError("late")])
async def test_a_function_is_called_again_when_its_connection_breaks_or_no_answer_comes(error: Exception) -> None:
    provider, seen = Provider([error]), list[Event]()
    with anyio.fail_after(5):
        assert await Retry(base=0).around(call(seen=seen), provider.answer) == "answer"
    (retrying,) = seen
    assert isinstance(retrying, Retrying)
    assert isinstance(retrying.error, ToolError)
    assert retrying.error.__cause__ is error
    assert "ann" not in str(retrying.error)


@pytest.mark.anyio
async def test_an_application_says_which_exceptions_of_its_functions_pass() -> None:
    retry = Retry(base=0, passes=lambda error: isinstance(error, KeyError))
    with anyio.fail_after(5):
        assert await retry.around(call(), Provider([KeyError("locked")]).answer) == "answer"
        with pytest.raises(ConnectionError):
            await retry.around(call(), Provider([ConnectionError()]).answer)
        with pytest.raises(ModelRejected):
            await retry.around(call(), Provider([ModelRejected("no", model="m")]).answer)
        with pytest.raises(KeyError):
            await retry.around(call(effect="once"), Provider([KeyError("locked")]).answer)


@pytest.mark.anyio
async def test_a_call_that_becomes_visible_while_it_fails_is_not_made_again() -> None:
    made: list[int] = []

    async def attempt(visible: Call) -> str:
        made.append(1)
        visible.progress.started = True
        raise DOWN

    with anyio.fail_after(5), pytest.raises(ModelUnavailable):
        await Retry(base=0).around(call(), attempt)
    assert made == [1]


@pytest.mark.anyio
async def test_what_was_shown_is_taken_back_and_made_anew_where_an_application_wants_it() -> None:
    shown, seen = ["It is", " 5"], list[Event]()

    async def attempt(visible: Call) -> str:
        progress = visible.progress
        if not shown:
            return "answer"
        progress.started = True
        progress.text.append(shown.pop())
        raise DOWN

    retry = Retry(base=0, retract=True)
    with anyio.fail_after(5):
        assert await retry.around(call(seen=seen), attempt) == "answer"
    assert seen == [
        TextRetracted(text=" 5"),
        Retrying(attempt=2, delay=0, error=DOWN),
        TextRetracted(text="It is"),
        Retrying(attempt=3, delay=0, error=DOWN),
    ]


@pytest.mark.anyio
async def test_what_was_shown_of_an_answer_that_is_given_up_is_left_to_who_made_the_call() -> None:
    seen: list[Event] = []

    async def attempt(visible: Call) -> str:
        visible.progress.started = True
        visible.progress.text.append("x")
        raise DOWN

    failing = call(seen=seen)
    with anyio.fail_after(5), pytest.raises(ModelUnavailable):
        await Retry(attempts=2, base=0, retract=True).around(failing, attempt)
    assert seen == [TextRetracted(text="x"), Retrying(attempt=2, delay=0, error=DOWN)]
    assert failing.progress.retract() == "x"


def test_that_what_was_shown_is_made_anew_is_told() -> None:
    assert Retry(retract=True).explain(call()) != Retry().explain(call())
    assert Retry(retract=True).explain(replace(call(), kind="tool")) == Retry().explain(call())


@pytest.mark.anyio
async def test_cancellation_in_a_pause_passes_and_nothing_is_tried_again() -> None:
    provider = Provider([limited(3600.0)])
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            def leave(_: Event) -> None:
                group.cancel_scope.cancel()

            group.start_soon(Retry().around, replace(call(), notify=leave), provider.answer)
    assert len(provider.asked) == 1


def test_pauses_take_the_time_that_they_announce() -> None:
    provider, seen = Provider([DOWN, limited(20.0)]), list[Event]()

    async def run() -> list[float]:
        start = anyio.current_time()
        await always(0.5, base=4.0).around(call(seen=seen), provider.answer)
        return [at - start for at in provider.asked]

    assert in_virtual_time("trio", run) == [0, 2, 22]
    assert [event.delay for event in seen if event.kind == "retrying"] == [2, 20]


def test_a_run_that_has_no_time_left_fails_at_once_with_the_providers_error() -> None:
    provider = Provider([limited(20.0)])

    async def run() -> float:
        start = anyio.current_time()
        with pytest.raises(ModelRateLimited):
            await always(0.5).around(call(until=start + 10), provider.answer)
        return anyio.current_time() - start

    assert in_virtual_time("trio", run) == 0

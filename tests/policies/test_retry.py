"""A failed call is made again after a pause, in time, and only when that can do no harm."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

import anyio
import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    AssistantKitError,
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
from assistant_kit.events import Event, Retrying
from assistant_kit.policies.retry import Retry, backoff, passing
from assistant_kit.protocols.policy import Call, Policy
from assistant_kit.tool_spec import Effect, Keyed

DOWN = ModelUnavailable("down", model="m")


async def never() -> str:
    raise NotImplementedError


@dataclass
class Provider:
    """Fails with each of `failures`, then answers."""

    failures: list[BaseException]
    asked: list[float] = field(default_factory=list[float])

    async def answer(self) -> str:
        self.asked.append(anyio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def call(
    attempt: Callable[[], Awaitable[str]] = never,
    *,
    effect: Effect = "read",
    started: bool = False,
    until: float = inf,
    seen: list[Event] | None = None,
) -> Call[str]:
    notify = [] if seen is None else seen
    return Call(
        kind="model",
        name="m",
        attempt=attempt,
        effect=effect,
        started=started,
        deadline=Deadline(until),
        notify=notify.append,
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
        (ModelBroke("x", model="m"), False),
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


def test_the_pause_doubles_up_to_its_cap() -> None:
    retry = always(1.0, attempts=9)
    assert [retry.next_delay(call(), DOWN, attempt=attempt, now=0.0) for attempt in range(1, 6)] == [1, 2, 4, 8, 8]


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


@given(st.integers(1, 10_000), st.floats(0, 60), st.floats(0, 60), st.floats(0, 1))
def test_a_pause_is_a_part_of_the_exponential_one_and_at_most_the_cap(
    attempt: int, base: float, cap: float, chance: float
) -> None:
    pause = backoff(attempt, base=base, cap=cap, chance=chance)
    assert 0 <= pause <= cap
    assert attempt > 10 or pause <= base * 2 ** (attempt - 1)


@given(st.integers(1, 12))
def test_by_default_the_jitter_is_random_and_within_bounds(attempt: int) -> None:
    delay = Retry(attempts=13).next_delay(call(), DOWN, attempt=attempt, now=0.0)
    assert delay is not None
    assert 0 <= delay <= min(8.0, 0.5 * 2 ** (attempt - 1))


# --- the driver


@pytest.mark.anyio
async def test_a_call_that_fails_for_a_while_succeeds_in_the_end() -> None:
    provider, seen = Provider([DOWN, DOWN]), list[Event]()
    policy: Policy = Retry(base=0)
    with anyio.fail_after(5):
        assert await policy.around(call(provider.answer, seen=seen)) == "answer"
    assert seen == [Retrying(attempt=2, delay=0, error=DOWN), Retrying(attempt=3, delay=0, error=DOWN)]


@pytest.mark.anyio
async def test_the_last_error_is_raised_as_it_is() -> None:
    last = ModelTimeout("late", model="m")
    provider = Provider([DOWN, DOWN, last])
    with anyio.fail_after(5), pytest.raises(ModelTimeout) as caught:
        await Retry(base=0).around(call(provider.answer))
    assert caught.value is last
    assert len(provider.asked) == 3


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ModelRejected("no", model="m"), ValueError("a mistake"), KeyboardInterrupt()])
async def test_an_error_that_will_not_pass_is_raised_at_once(error: BaseException) -> None:
    provider, seen = Provider([error]), list[Event]()
    with anyio.fail_after(5), pytest.raises(type(error)):
        await Retry(base=0).around(call(provider.answer, seen=seen))
    assert len(provider.asked) == 1
    assert seen == []


@pytest.mark.anyio
async def test_a_call_that_becomes_visible_while_it_fails_is_not_made_again() -> None:
    made: list[int] = []

    async def attempt() -> str:
        made.append(1)
        visible.started = True
        raise DOWN

    visible = call(attempt)
    with anyio.fail_after(5), pytest.raises(ModelUnavailable):
        await Retry(base=0).around(visible)
    assert made == [1]


@pytest.mark.anyio
async def test_cancellation_in_a_pause_passes_and_nothing_is_tried_again() -> None:
    provider = Provider([limited(3600.0)])
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            def leave(_: Event) -> None:
                group.cancel_scope.cancel()

            cancelled = call(provider.answer)
            cancelled.notify = leave
            group.start_soon(Retry().around, cancelled)
    assert len(provider.asked) == 1


def test_pauses_take_the_time_that_they_announce() -> None:
    provider, seen = Provider([DOWN, limited(20.0)]), list[Event]()

    async def run() -> list[float]:
        start = anyio.current_time()
        await always(0.5, base=4.0).around(call(provider.answer, seen=seen))
        return [at - start for at in provider.asked]

    assert trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0)) == [0, 2, 22]
    assert [event.delay for event in seen if event.kind == "retrying"] == [2, 20]


def test_a_run_that_has_no_time_left_fails_at_once_with_the_providers_error() -> None:
    provider = Provider([limited(20.0)])

    async def run() -> float:
        start = anyio.current_time()
        with pytest.raises(ModelRateLimited):
            await always(0.5).around(call(provider.answer, until=start + 10))
        return anyio.current_time() - start

    assert trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0)) == 0

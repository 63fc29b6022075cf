"""What fails too often is left alone for a while, by all workers together, and tried by a few calls only."""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.errors import (
    AssistantKitError,
    CircuitOpen,
    ConfigurationError,
    ContextOverflow,
    InputError,
    InvalidArguments,
    ModelBroke,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
    OutcomeUnknown,
    RateLimitReached,
    StoreUnavailable,
    ToolError,
    ToolsetError,
)
from assistant_kit.policies._breaker import BreakerRules
from assistant_kit.policies._breaker_sharing import SharedTrips, decoded
from assistant_kit.policies.circuit_breaker import CircuitBreaker, CircuitChange, TimeWindow, is_failure
from assistant_kit.protocols.policy import Call, CallKind, ConditionChanged, Policy, ReportingPolicy
from assistant_kit.protocols.shared_state import Change, SharedState
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.shared_states.redis import RedisState
from assistant_kit.shared_states.sqlite import SQLiteState
from tests.policies.timing import in_virtual_time

T = TypeVar("T")
DOWN = ModelUnavailable("down", model="m")
KEY = "model:m"
MODEL = Call(kind="model", name="m")


@pytest.fixture(params=["asyncio", "trio"])
def virtually(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a function in virtual time, on both event loops; it takes a day of it at most."""

    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        async def bounded() -> Any:
            with anyio.fail_after(86_400):
                return await main()

        return in_virtual_time(request.param, bounded)

    return run


Virtually = Callable[[Callable[[], Awaitable[Any]]], Any]


@dataclass
class Upstream:
    """What is called: it takes `seconds` for an answer, and fails while it is `down`."""

    down: bool = True
    seconds: float = 0.0
    error: BaseException = DOWN
    made: int = 0
    running: int = 0
    most: int = 0

    async def answer(self, _: Call) -> str:
        self.made += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.running -= 1
        if self.down:
            raise self.error
        return "answer"


@dataclass
class Counted:
    """What became of calls."""

    answers: int = 0
    failures: int = 0
    refused: list[float] = field(default_factory=list[float])
    upstreams: set[str] = field(default_factory=set[str])

    async def call(self, breaker: Policy, upstream: Upstream, call: Call = MODEL) -> None:
        try:
            await breaker.around(call, upstream.answer)
        except CircuitOpen as error:
            self.refused.append(error.retry_after or 0.0)
            self.upstreams.add(error.upstream)
        except ModelUnavailable:
            self.failures += 1
        else:
            self.answers += 1


async def calls(breaker: Policy, upstream: Upstream, count: int) -> Counted:
    counted = Counted()
    for _ in range(count):
        await counted.call(breaker, upstream)
    return counted


async def at_once(breaker: Policy, upstream: Upstream, count: int) -> Counted:
    counted = Counted()
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(counted.call, breaker, upstream)
    return counted


def certain(**how: Any) -> CircuitBreaker:
    """A breaker without chance."""
    figures: dict[str, Any] = {"failure_rate": 0.5, "open_for": 10.0, "max_open": 300.0, **how}
    return CircuitBreaker(uniform=lambda: 0.0, **figures)


async def tripped(breaker: CircuitBreaker) -> None:
    """Let the breaker of the model open."""
    for _ in range(100):
        if not breaker.is_open(KEY):
            await calls(breaker, Upstream(), 1)
    assert breaker.is_open(KEY)


# --- one worker


def test_what_fails_too_often_is_not_called_any_more(virtually: Virtually) -> None:
    async def main() -> None:
        breaker, upstream = certain(), Upstream()
        counted = await calls(breaker, upstream, 100)
        assert (upstream.made, counted.failures) == (20, 20)
        assert counted.refused == [10.0] * 80
        assert counted.upstreams == {KEY}
        assert breaker.is_open(KEY)
        assert not breaker.is_open("model:another")

    virtually(main)


@pytest.mark.parametrize("probes", [1, 3])
def test_of_a_thousand_callers_only_the_probes_are_let_through(virtually: Virtually, probes: int) -> None:
    async def main() -> None:
        breaker = certain(probes=probes, probes_needed=probes)
        await tripped(breaker)
        await anyio.sleep(10)
        assert not breaker.is_open(KEY)
        upstream = Upstream(down=False, seconds=5)
        counted = await at_once(breaker, upstream, 1000)
        assert (upstream.made, upstream.most, counted.answers) == (probes, probes, probes)
        assert len(counted.refused) == 1000 - probes
        assert (await at_once(breaker, upstream, 1000)).answers == 1000

    virtually(main)


def test_a_breaker_that_trips_again_stays_open_for_longer_until_it_is_forgotten(virtually: Virtually) -> None:
    async def main() -> None:
        changes: list[CircuitChange] = []
        breaker, dead, well = certain(max_open=30.0, on_change=changes.append), Upstream(), Upstream(down=False)
        await tripped(breaker)
        for seconds in (10, 20, 30):
            await anyio.sleep(seconds)
            await calls(breaker, dead, 3)
        assert dead.made == 3
        await anyio.sleep(30)
        assert (await calls(breaker, well, 2)).answers == 2
        await tripped(breaker)
        await anyio.sleep(30)
        await calls(breaker, well, 2)
        await anyio.sleep(30)
        await tripped(breaker)
        assert [(one.open_for, one.trips) for one in changes if one.after == "open"] == [
            (10, 1), (20, 2), (30, 3), (30, 4), (30, 5), (10, 1)
        ]  # fmt: skip

    virtually(main)


def test_a_cancelled_probe_frees_its_slot_and_counts_as_neither(virtually: Virtually) -> None:
    async def main() -> None:
        breaker, upstream = certain(probes_needed=1), Upstream(down=False, seconds=60)
        await tripped(breaker)
        await anyio.sleep(10)
        for _ in range(3):
            with anyio.move_on_after(5):
                await breaker.around(MODEL, upstream.answer)
            assert not breaker.is_open(KEY)
            assert breaker.health()[f"breaker {KEY}"].state == "half_open"
        upstream.seconds = 1
        assert await breaker.around(MODEL, upstream.answer) == "answer"
        assert breaker.health()[f"breaker {KEY}"].ok

    virtually(main)


def test_cancelled_calls_say_nothing_while_a_breaker_is_closed(virtually: Virtually) -> None:
    async def main() -> None:
        breaker, upstream = certain(), Upstream(seconds=60)
        for _ in range(50):
            with anyio.move_on_after(5):
                await breaker.around(MODEL, upstream.answer)
        assert breaker.health()[f"breaker {KEY}"].data["calls"] == 0

    virtually(main)


def test_a_call_that_began_before_the_trip_says_nothing_after_it(virtually: Virtually) -> None:
    async def main() -> None:
        breaker, late = certain(), Upstream(down=False, seconds=11)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(breaker.around, MODEL, late.answer)
            await anyio.lowlevel.checkpoint()
            await tripped(breaker)
            await anyio.sleep(10)
            await calls(breaker, Upstream(), 1)
        assert breaker.health()[f"breaker {KEY}"].state == "open"
        assert breaker.health()[f"breaker {KEY}"].data["trips"] == 2

    virtually(main)


def test_a_probe_that_hangs_does_not_keep_the_others_out_for_ever(virtually: Virtually) -> None:
    async def main() -> None:
        breaker, hanging = certain(probes_needed=1), Upstream(down=True, seconds=3600)
        await tripped(breaker)
        await anyio.sleep(10)
        async with anyio.create_task_group() as group:
            group.start_soon(Counted().call, breaker, hanging)
            await anyio.sleep(59)
            assert breaker.is_open(KEY)
            await anyio.sleep(1)
            assert (await calls(breaker, Upstream(down=False), 1)).answers == 1
        assert breaker.health()[f"breaker {KEY}"].state == "closed"

    virtually(main)


def test_breakers_of_different_keys_do_not_know_each_other(virtually: Virtually) -> None:
    async def main() -> None:
        breaker = certain()
        await tripped(breaker)
        for call in (Call(kind="tool", name="m"), Call(kind="model", name="m", upstream="m at home")):
            assert await breaker.around(call, Upstream(down=False).answer) == "answer"
        assert {key: one.ok for key, one in breaker.health().items()} == {
            f"breaker {KEY}": False, "breaker tool:m": True, "breaker model:m at home": True
        }  # fmt: skip

    virtually(main)


def test_only_the_breakers_used_last_are_kept(virtually: Virtually) -> None:
    async def main() -> None:
        breaker = certain(max_keys=3)
        for name in "abcaed":
            await breaker.around(Call(kind="model", name=name), Upstream(down=False).answer)
            await anyio.sleep(1)
        assert set(breaker.health()) == {"breaker model:a", "breaker model:e", "breaker model:d"}

    virtually(main)


# --- what counts


@pytest.mark.parametrize(
    ("error", "of_a_model", "of_a_tool"),
    [
        (ModelUnreachable("x", model="m"), True, True),
        (ModelTimeout("x", model="m"), True, True),
        (ModelUnavailable("x", model="m"), True, True),
        (ModelBroke("x", model="m"), True, True),
        (ToolsetError("x", "y"), True, True),
        (OutcomeUnknown("x"), True, True),
        (TimeoutError(), True, True),
        (ValueError("x"), False, True),
        (ModelRejected("x", model="m"), False, False),
        (ContextOverflow("x", model="m"), False, False),
        (ModelUnauthorized("x", model="m"), False, False),
        (ModelRateLimited("x", model="m"), False, False),
        (ToolError("x"), False, False),
        (InvalidArguments("x"), False, False),
        (RateLimitReached("x", retry_after=1), False, False),
        (InputError("x"), False, False),
        (ConfigurationError("x"), False, False),
    ],
)
@pytest.mark.anyio
async def test_only_what_is_the_fault_of_who_was_called_counts(
    error: Exception, *, of_a_model: bool, of_a_tool: bool
) -> None:
    kinds: list[tuple[CallKind, bool]] = [("model", of_a_model), ("tool", of_a_tool), ("other", of_a_tool)]
    for kind, counts in kinds:
        breaker = CircuitBreaker(min_calls=1)
        call = Call(kind=kind, name="m")
        with anyio.fail_after(5), pytest.raises(type(error)):
            await breaker.around(call, Upstream(error=error).answer)
        assert breaker.is_open(call.key) is counts
        assert is_failure(call, error) is counts


@pytest.mark.anyio
async def test_an_error_that_a_tool_answers_with_shows_that_it_works() -> None:
    breaker, tool = CircuitBreaker(), Call(kind="tool", name="t")
    for error in (ToolError("no such file"), InvalidArguments("x")):
        with anyio.fail_after(5), pytest.raises(ToolError):
            await breaker.around(tool, Upstream(error=error).answer)
    assert breaker.health()["breaker tool:t"].data["calls"] == 1


@pytest.mark.anyio
async def test_what_counts_can_be_said() -> None:
    breaker = CircuitBreaker(min_calls=1, counts=lambda error: isinstance(error, ModelRejected))
    with anyio.fail_after(5):
        for error in (DOWN, ModelRejected("x", model="m")):
            assert not breaker.is_open(KEY)
            with pytest.raises(AssistantKitError):
                await breaker.around(MODEL, Upstream(error=error).answer)
    assert breaker.is_open(KEY)


def test_a_mistake_in_what_counts_is_seen_and_costs_no_slot(virtually: Virtually) -> None:
    def mistaken(error: BaseException) -> bool:
        if error is not DOWN:
            raise ZeroDivisionError
        return True

    async def main() -> None:
        breaker = certain(counts=mistaken)
        await tripped(breaker)
        await anyio.sleep(10)
        with pytest.raises(ZeroDivisionError):
            await breaker.around(MODEL, Upstream(error=ValueError()).answer)
        assert not breaker.is_open(KEY)

    virtually(main)


# --- slow calls


@pytest.mark.parametrize(("kind", "seconds", "opens"), [("tool", 6, True), ("tool", 5, False), ("model", 6, True)])
def test_calls_that_take_too_long_open_a_breaker(
    virtually: Virtually, kind: CallKind, seconds: float, *, opens: bool
) -> None:
    async def main() -> None:
        breaker, upstream = certain(slow_after=5.0, slow_rate=0.8), Upstream(down=False, seconds=seconds)
        call = Call(kind=kind, name="m")
        counted = Counted()
        for _ in range(20):
            await counted.call(breaker, upstream, call)
        assert counted.answers == 20
        assert breaker.is_open(call.key) is opens
        assert breaker.health()[f"breaker {call.key}"].data["slow"] == (20 if opens else 0)

    virtually(main)


def test_an_answer_that_begins_in_time_may_take_long(virtually: Virtually) -> None:
    async def main() -> None:
        breaker = certain(slow_after=5.0)
        call = Call(kind="model", name="m", streams=True)

        async def attempt(begins: float, made: Call) -> str:
            await anyio.sleep(begins)
            made.progress.begun = True
            made.progress.beats += 1
            await anyio.sleep(100)
            return "answer"

        for begins in (1.0, 4.0, 6.0, 1.0):  # one after the other, with one progress, as retries do
            await breaker.around(call, lambda made, begins=begins: attempt(begins, made))
        figures = breaker.health()[f"breaker {KEY}"].data
        assert (figures["calls"], figures["slow"]) == (4, 1)

    virtually(main)


def test_a_slow_probe_opens_the_breaker_again(virtually: Virtually) -> None:
    async def main() -> None:
        breaker = certain(slow_after=5.0)
        await tripped(breaker)
        await anyio.sleep(10)
        await calls(breaker, Upstream(down=False, seconds=6), 1)
        assert breaker.health()[f"breaker {KEY}"].data["trips"] == 2

    virtually(main)


@pytest.mark.anyio
async def test_a_call_that_is_watched_fails_with_its_own_error() -> None:
    with anyio.fail_after(5), pytest.raises(ModelUnavailable) as caught:
        await CircuitBreaker(slow_after=5.0).around(Call(kind="model", name="m", streams=True), Upstream().answer)
    assert caught.value is DOWN


# --- who looks on


def test_changes_are_told_with_their_figures(virtually: Virtually, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        changes: list[CircuitChange] = []
        breaker, start = certain(on_change=changes.append), anyio.current_time()
        await tripped(breaker)
        await anyio.sleep(10)
        await calls(breaker, Upstream(down=False), 2)
        assert [(one.key, one.before, one.after, one.at - start) for one in changes] == [
            (KEY, "closed", "open", 0),
            (KEY, "open", "half_open", 10),
            (KEY, "half_open", "closed", 10),
        ]
        assert changes[0].open_for == 10
        assert "20 failed" in changes[0].reason

    caplog.set_level(logging.INFO, "assistant_kit.policies")
    virtually(main)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_whoever_hears_of_conditions_is_told_that_it_opens_tries_and_closes(virtually: Virtually) -> None:
    async def main() -> None:
        told: list[ConditionChanged] = []
        breaker = certain()
        assert isinstance(breaker, ReportingPolicy)
        breaker.report_to(told.append)
        await tripped(breaker)
        await anyio.sleep(10)
        await calls(breaker, Upstream(down=False), 2)
        assert {one.name for one in told} == {f"breaker {KEY}"}
        assert [(one.before, one.after, one.condition.ok) for one in told] == [
            ("closed", "open", False),
            ("open", "half_open", False),
            ("half_open", "closed", True),
        ]
        assert told[0].condition.data["failures"] == 20

    virtually(main)


@pytest.mark.anyio
async def test_a_state_that_was_given_by_its_address_is_shared_and_closed_with_the_breaker(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'state.db'}"
    one, other = certain(state=address), certain(state=address, shared_every=0.0)
    assert address not in repr(one)  # it may have a password in it
    with anyio.fail_after(20):
        await tripped(one)
        await one.aclose()
        assert (await calls(other, Upstream(), 1)).refused
        await other.aclose()
        await certain().aclose()


def test_who_looks_on_cannot_make_a_call_fail(virtually: Virtually, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: CircuitChange) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        await tripped(certain(on_change=broken))

    virtually(main)
    assert [one.levelname for one in caplog.records] == ["WARNING", "ERROR"]


def test_health_and_explanation_have_the_figures(virtually: Virtually) -> None:
    async def main() -> None:
        breaker = certain(slow_after=5.0, window=TimeWindow(60.0))
        assert "closed" in breaker.explain(MODEL)
        assert breaker.health() == {}
        start = anyio.current_time()
        await tripped(breaker)
        condition = breaker.health()[f"breaker {KEY}"]
        assert (condition.ok, condition.state) == (False, "open")
        assert condition.data["failure_rate"] == 1.0
        assert condition.data["opens_until"] == start + 10
        assert "open for model:m" in breaker.explain(MODEL)
        assert "5 s" in breaker.explain(MODEL)
        assert "take" not in certain().explain(MODEL)

    virtually(main)


@pytest.mark.parametrize("wrong", [{"max_keys": 0}, {"shared_every": -1.0}, {"min_calls": 0}])
def test_a_breaker_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CircuitBreaker(**wrong)


# --- several workers


def shared() -> MemoryState:
    """A place whose clock goes with virtual time, and shows another time than the event loop's."""
    return MemoryState(clock=lambda: anyio.current_time() + 1.8e9)


def test_a_trip_of_one_worker_is_known_to_the_others(virtually: Virtually) -> None:
    async def main() -> None:
        state, upstream = shared(), Upstream(down=False)
        one, other = certain(state=state), certain(state=state)
        assert (await calls(other, upstream, 3)).answers == 3
        await tripped(one)
        assert (await calls(other, upstream, 3)).answers == 3  # it has looked a moment ago
        await anyio.sleep(1)
        counted = await calls(other, upstream, 3)
        assert counted.answers == 0
        assert counted.refused == [pytest.approx(9.0, abs=1e-3)] * 3
        assert other.is_open(KEY)

    virtually(main)


def test_all_workers_together_send_no_more_probes_than_one_would(virtually: Virtually) -> None:
    async def main() -> None:
        state, upstream = shared(), Upstream(down=False, seconds=5)
        workers = [certain(state=state) for _ in range(5)]
        await tripped(workers[0])
        await anyio.sleep(11)
        counted = Counted()
        async with anyio.create_task_group() as group:
            for worker in workers:
                for _ in range(50):
                    group.start_soon(counted.call, worker, upstream)
        assert (upstream.most, upstream.made, counted.answers) == (1, 1, 1)

    virtually(main)


def test_who_hears_that_others_probe_does_not_ask_again_and_again(virtually: Virtually) -> None:
    async def main() -> None:
        place, upstream = Place(), Upstream(down=False, seconds=30)
        one, other = certain(state=place), certain(state=place)
        await tripped(one)
        await calls(other, upstream, 1)
        await anyio.sleep(11)
        async with anyio.create_task_group() as group:
            group.start_soon(Counted().call, one, upstream)
            await anyio.sleep(1)
            asked = place.asked
            assert len((await calls(other, upstream, 50)).refused) == 50
            assert place.asked == asked + 1
            assert other.is_open(KEY)

    virtually(main)


def test_a_closing_is_known_to_the_others(virtually: Virtually) -> None:
    async def main() -> None:
        state, upstream = shared(), Upstream(down=False)
        one, other = certain(state=state), certain(state=state)
        await tripped(one)
        await calls(other, upstream, 1)
        await anyio.sleep(11)
        assert (await calls(one, upstream, 1)).answers == 1
        assert (await calls(other, upstream, 1)).answers == 1  # the second probe, of another worker
        assert other.health()[f"breaker {KEY}"].state == "closed"
        assert (await at_once(one, upstream, 50)).answers == 50
        assert one.health()[f"breaker {KEY}"].state == "closed"

    virtually(main)


def test_a_probe_that_fails_opens_the_breakers_of_all_for_longer(virtually: Virtually) -> None:
    async def main() -> None:
        state = shared()
        one, other = certain(state=state), certain(state=state)
        await tripped(one)
        await calls(other, Upstream(), 1)
        await anyio.sleep(11)
        assert (await calls(one, Upstream(), 1)).failures == 1
        counted = await calls(other, Upstream(), 1)
        assert counted.refused == [pytest.approx(20.0, abs=1e-3)]
        assert [worker.health()[f"breaker {KEY}"].data["trips"] for worker in (one, other)] == [2, 2]

    virtually(main)


def test_workers_that_trip_at_once_have_tripped_once(virtually: Virtually) -> None:
    async def main() -> None:
        state = shared()
        one, other = certain(state=state, min_calls=5), certain(state=state, min_calls=5)
        await calls(other, Upstream(), 4)
        await tripped(one)
        assert (await calls(other, Upstream(), 1)).failures == 1
        assert [worker.health()[f"breaker {KEY}"].data["trips"] for worker in (one, other)] == [1, 1]
        await anyio.sleep(11)
        await calls(one, Upstream(), 1)
        assert one.health()[f"breaker {KEY}"].data["trips"] == 2

    virtually(main)


def test_a_worker_that_dies_with_a_probe_keeps_the_others_out_for_a_while_only(virtually: Virtually) -> None:
    async def main() -> None:
        state, upstream = shared(), Upstream(down=False, seconds=1e6)
        dead, alive = certain(state=state), certain(state=state, probes_needed=1)
        await tripped(dead)
        await anyio.sleep(11)
        lost = dead.around(MODEL, upstream.answer)
        lost.send(None)  # as far as it goes: to the call
        lost.close()
        assert upstream.made == 1
        assert (await calls(alive, Upstream(down=False), 1)).answers == 0
        await anyio.sleep(60)
        assert (await calls(alive, Upstream(down=False), 1)).answers == 1
        assert alive.health()[f"breaker {KEY}"].ok

    virtually(main)


def test_a_cancelled_probe_frees_the_slot_that_workers_share(virtually: Virtually) -> None:
    async def main() -> None:
        state = Place(late=0.1)
        one, other = certain(state=state), certain(state=state)
        await tripped(one)
        await anyio.sleep(11)
        with anyio.move_on_after(5):
            await one.around(MODEL, Upstream(down=False, seconds=60).answer)
        assert (await calls(other, Upstream(down=False), 1)).answers == 1

    virtually(main)


# --- places that fail


@dataclass
class Place:
    """A shared place that fails, or hangs, when it is told to; `late` answers come after that many seconds."""

    kept: MemoryState = field(default_factory=shared)
    failing: bool = False
    hanging: bool = False
    late: float = 0.0
    asked: int = 0

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        self.asked += 1
        if self.failing:
            raise StoreUnavailable("gone")
        if self.hanging:
            await anyio.sleep_forever()
        await anyio.sleep(self.late / 2)
        result = await self.kept.update(owner, key, change)
        await anyio.sleep(self.late / 2)
        return result

    async def values(self, owner: str) -> Mapping[str, bytes]:
        return await self.kept.values(owner)

    async def erase(self, owner: str) -> None:
        await self.kept.erase(owner)

    async def aclose(self) -> None:
        await self.kept.aclose()


@pytest.mark.parametrize("how", ["failing", "hanging"])
def test_a_place_that_fails_is_done_without(virtually: Virtually, how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        place: SharedState = Place(failing=how == "failing", hanging=how == "hanging")
        breaker, start = certain(state=place), anyio.current_time()
        assert (await calls(breaker, Upstream(down=False), 50)).answers == 50
        assert anyio.current_time() - start <= 0.25
        await tripped(breaker)
        await anyio.sleep(10)
        assert (await calls(breaker, Upstream(down=False), 20)).answers == 20
        assert breaker.health()[f"breaker {KEY}"].ok

    virtually(main)
    assert sum("other workers" in one.message for one in caplog.records) == 1


def test_a_place_that_works_again_is_heard_again(virtually: Virtually) -> None:
    async def main() -> None:
        place = Place(failing=True)
        one, other = certain(state=place), certain(state=place.kept)
        await calls(one, Upstream(down=False), 3)
        assert place.asked == 1
        place.failing = False
        await tripped(other)
        await anyio.sleep(5)
        assert (await calls(one, Upstream(down=False), 1)).answers == 0

    virtually(main)


def test_a_place_that_has_forgotten_lets_each_worker_go_by_its_own(virtually: Virtually) -> None:
    async def main() -> None:
        place, upstream = Place(), Upstream(down=False, seconds=1)
        one, other = certain(state=place), certain(state=place)
        await tripped(one)
        await place.erase("")
        assert (await calls(other, upstream, 1)).answers == 1
        await anyio.sleep(10)
        assert (await at_once(one, upstream, 50)).answers == 1
        assert (await calls(one, Upstream(), 1)).failures == 1  # and what it finds out is known again
        await anyio.sleep(1)
        assert (await calls(other, upstream, 1)).answers == 0

    virtually(main)


def test_who_leaves_while_the_place_is_asked_takes_no_slot_along(virtually: Virtually) -> None:
    async def main() -> None:
        place, upstream = Place(), Upstream(down=False)
        breaker = certain(state=place)
        await tripped(breaker)
        await anyio.sleep(11)
        place.late = 0.2
        with anyio.move_on_after(0.15):
            await breaker.around(MODEL, upstream.answer)
        assert upstream.made == 0
        assert (await calls(certain(state=place), upstream, 1)).answers == 1
        assert (await calls(breaker, upstream, 1)).answers == 1

    virtually(main)


def test_a_place_that_is_told_late_changes_no_newer_state(virtually: Virtually) -> None:
    async def main() -> None:
        place = Place()
        breaker = certain(state=place)
        await tripped(breaker)
        await anyio.sleep(11)
        await calls(breaker, Upstream(down=False), 2)
        await anyio.sleep(2)
        place.late = 0.2
        async with anyio.create_task_group() as group:
            group.start_soon(calls, breaker, Upstream(down=False), 1)  # looks, and will hear that all is well
            await anyio.sleep(0.1)
            await at_once(breaker, Upstream(), 20)
        assert breaker.is_open(KEY)

    virtually(main)


@given(seed=st.integers(0, 100_000))
@settings(max_examples=20)
def test_after_a_storm_no_slot_is_held_and_all_workers_recover(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        place, upstream = Place(), Upstream()
        workers = [
            CircuitBreaker(failure_rate=0.5, state=place, probes=chance.randint(1, 2), uniform=chance.random)
            for _ in range(3)
        ]

        async def one() -> None:
            await anyio.sleep(chance.uniform(0, 100))
            upstream.down, place.late = chance.random() < 0.8, chance.choice([0.0, 0.0, 0.1, 0.2])
            upstream.seconds = chance.choice([0.0, 0.1, 3.0])
            with anyio.move_on_after(chance.choice([0.05, 0.15, 0.3, 1.0, 50.0])):
                await Counted().call(chance.choice(workers), upstream)

        async with anyio.create_task_group() as group:
            for _ in range(400):
                group.start_soon(one)
        assert upstream.made < 400  # something was refused
        trip = decoded((await place.values(""))[f"breaker/{KEY}"])
        assert trip.slots == ()
        upstream.down = False
        await anyio.sleep(300)
        for _ in range(4):
            for worker in workers:
                await calls(worker, upstream, 1)
            await anyio.sleep(1.01)
        assert [worker.health()[f"breaker {KEY}"].state for worker in workers] == ["closed"] * 3

    in_virtual_time("asyncio", main, seed=seed)


@pytest.mark.parametrize("name", ["x" * 5000, "naïve", "a\x01b", "a\nb"])
def test_any_name_can_be_shared(virtually: Virtually, name: str) -> None:
    async def main() -> None:
        state = shared()
        call = Call(kind="tool", name=name)
        one, other = certain(state=state), certain(state=state)
        for _ in range(20):
            await Counted().call(one, Upstream(), call)
        with pytest.raises(CircuitOpen):
            await other.around(call, Upstream().answer)
        (key,) = await state.values("")
        assert key.isascii()
        assert len(key) < 300

    virtually(main)


@pytest.fixture(params=["sqlite", "valkey"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SharedState]:
    """Make a state at a real place that workers share: a file, or a server."""
    if request.param == "sqlite":
        return lambda: SQLiteState(tmp_path / "state.db")
    url, prefix = request.getfixturevalue("valkey_url"), f"test:{uuid4().hex}"
    return lambda: RedisState(url, prefix=prefix)


@pytest.mark.anyio
async def test_real_places_let_through_the_probes_only_and_know_of_trips_and_closings(
    real: Callable[[], SharedState],
) -> None:
    rules = BreakerRules(probes=2, open_for=0.001)
    states = [real() for _ in range(3)]
    places = [SharedTrips(state, rules, patience=20.0) for state in states]
    let: list[str] = []

    async def ask(place: SharedTrips, slot: str) -> None:
        told = await place.ask(KEY, slot)
        assert told is not None
        if told.let:
            let.append(slot)

    with anyio.fail_after(60):
        told = await places[0].report(KEY, slot="", outcome="failure", tripped=True, chance=0.0)
        assert told is not None
        assert told.trip.state == "open"
        while not let:  # until its time is over
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(ask, places[number % 3], str(number))
        assert len(let) == 2
        for slot, place in zip(let, places[1:], strict=True):
            await place.report(KEY, slot=slot, outcome="success", tripped=False, chance=0.0)
        told = await places[0].look(KEY)
        assert told is not None
        assert (told.trip.state, told.trip.slots) == ("closed", ())
        for state in states:
            await state.aclose()

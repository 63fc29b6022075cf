"""Calls wait for their turn and go at the rate that is allowed; what they did not use is given back."""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TypeAlias, TypeVar

import anyio
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    CircuitOpen,
    ConfigurationError,
    ModelBroke,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnreachable,
    RateLimitReached,
    StoreUnavailable,
)
from assistant_kit.events import Delayed, Event
from assistant_kit.policies._rate_place import decoded, encoded
from assistant_kit.policies._token_bucket import Learned, Line, Rates, fitted, reserve
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.protocols.model import ModelResponse, Progress
from assistant_kit.protocols.policy import (
    Call,
    ClosingPolicy,
    ConditionChanged,
    ExplainedPolicy,
    Policy,
    ReportingPolicy,
    WatchedPolicy,
)
from assistant_kit.protocols.shared_state import Change
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.usage import RateLimits, Usage
from tests.policies.timing import LOOPS, in_virtual_time

T = TypeVar("T")

Run: TypeAlias = Callable[[Callable[[], Awaitable[T]]], T]
HOUR = 3600.0


virtual = pytest.mark.parametrize("run", [partial(in_virtual_time, loop) for loop in LOOPS], ids=LOOPS)


@dataclass
class Server:
    """Notes when it is asked, and answers after `takes` seconds: with the next of `answers`, or a plain one."""

    takes: float = 0.0
    answers: list[ModelResponse | BaseException] = field(default_factory=list[ModelResponse | BaseException])
    asked: list[float] = field(default_factory=list[float])
    names: list[str] = field(default_factory=list[str])

    async def answer(self, call: Call) -> ModelResponse:
        self.asked.append(anyio.current_time())
        self.names.append(call.run)
        await anyio.sleep(self.takes)
        answer = self.answers.pop(0) if self.answers else response()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def response(tokens: int | None = None, limits: RateLimits | None = None) -> ModelResponse:
    usage = Usage(reported=False) if tokens is None else Usage(input_tokens=tokens)
    return ModelResponse(items=(), usage=usage, model="m", limits=limits)


def call(*, until: float = inf, prompt: int = 0, output: int = 0, run: str = "") -> Call:
    return Call(
        kind="model",
        name="m",
        run=run,
        deadline=Deadline(until),
        prompt_tokens=prompt,
        output_tokens=output,
        usage=lambda answer: answer.usage,
    )


async def side_by_side(policy: RateLimit, server: Server, *calls: Call) -> list[float]:
    """Make calls at once, and return after how many seconds each was sent."""
    begun = anyio.current_time()
    with anyio.fail_after(HOUR):
        async with anyio.create_task_group() as group:
            for one in calls:
                group.start_soon(policy.around, one, server.answer)
    return [at - begun for at in server.asked]


async def one_by_one(policy: RateLimit, server: Server, *calls: Call) -> list[float]:
    """Make calls one after the other, and return after how many seconds each was sent."""
    begun = anyio.current_time()
    with anyio.fail_after(HOUR):
        for one in calls:
            await policy.around(one, server.answer)
    return [at - begun for at in server.asked]


async def failing(policy: RateLimit, server: Server, one: Call, error: BaseException) -> None:
    server.answers.append(error)
    with anyio.fail_after(HOUR), pytest.raises(type(error)):
        await policy.around(one, server.answer)


def left(policy: RateLimit, key: str = "rate limit model:m") -> tuple[object, object]:
    data = policy.health()[key].data
    return data.get("requests_left"), data.get("tokens_left")


# --- the pace


@virtual
def test_a_hundred_callers_at_sixty_a_minute_take_a_hundred_seconds_less_what_was_saved_up(run: Run[None]) -> None:
    async def main() -> None:
        server = Server()
        sent = await side_by_side(RateLimit(requests_per_minute=60, burst=10), server, *[call()] * 100)
        assert sent == pytest.approx([0.0] * 10 + [float(second) for second in range(1, 91)], abs=1e-3)

    run(main)


@virtual
def test_calls_go_in_the_order_in_which_they_came(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=60, burst=0), Server()
        arrived = list[str]()

        async def arrive(name: str) -> None:
            arrived.append(name)
            await policy.around(call(run=name), server.answer)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(arrive, str(number))
        assert server.names == arrived

    run(main)


@virtual
def test_tokens_that_were_not_used_let_those_who_wait_go_sooner(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(tokens_per_minute=6000, burst=10)
        server = Server(answers=[response(tokens=100) for _ in range(20)])
        sent = await side_by_side(policy, server, *[call(prompt=200, output=800)] * 20)
        # 20 calls that reserve 1,000 each would take 190 s; they have used 100 each, and 100 come in a second.
        assert sent[-1] < 30

    run(main)


@virtual
def test_what_is_given_back_lets_the_next_go_in_that_moment(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(tokens_per_minute=6000, burst=10)
        server = Server(takes=0.25, answers=[response(tokens=0)])
        sent = await side_by_side(policy, server, call(prompt=1000), call(prompt=1000))
        assert sent == pytest.approx([0, 0.25], abs=1e-3)

    run(main)


@virtual
def test_more_tokens_than_were_reserved_are_a_debt_that_is_paid_off(run: Run[None]) -> None:
    async def main() -> None:
        server = Server(answers=[response(tokens=7000)])
        sent = await one_by_one(RateLimit(tokens_per_minute=6000), server, call(), call())
        assert sent == pytest.approx([0, 10], abs=1e-3)

    run(main)


@virtual
def test_a_call_larger_than_the_limit_goes_when_all_of_it_is_there(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(tokens_per_minute=600, burst=60)
        sent = await one_by_one(policy, Server(), call(prompt=1), call(prompt=1200), call(prompt=100))
        assert sent == pytest.approx([0, 0.1, 70.1], abs=1e-3)

    run(main)


@virtual
def test_keys_are_limited_apart_and_other_kinds_of_calls_not_at_all(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=60, burst=0), Server()
        other = Call(kind="tool", name="m")
        sent = await side_by_side(policy, server, call(), replace(call(), upstream="n"), other, other)
        assert sent == [0, 0, 0, 0]
        assert set(policy.health()) == {"rate limit model:m", "rate limit model:n"}
        tools = RateLimit(requests_per_minute=60, burst=0, kinds=("tool",))
        assert await one_by_one(tools, Server(), other, other, call()) == pytest.approx([0, 1, 1], abs=1e-3)

    run(main)


# --- deadlines and cancellation


@virtual
def test_a_call_waits_no_longer_than_it_is_let(run: Run[None]) -> None:
    async def main() -> None:
        paced = RateLimit(requests_per_minute=60, burst=0, max_wait=3.0)
        begun = anyio.current_time()
        refused: list[tuple[float, bool]] = []

        async def ask() -> None:
            try:
                await paced.around(call(), Server().answer)
            except RateLimitReached as error:
                refused.append((anyio.current_time() - begun, (error.retry_after or 0) >= 3))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask)
        assert refused == [(0.0, True)] * 7

    run(main)


class Hanging(MemoryState):
    """A place that does not answer."""

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        await anyio.sleep(HOUR)
        return await super().update(owner, key, change)


@virtual
def test_nor_does_it_wait_longer_for_a_place_that_does_not_answer(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(requests_per_minute=60, state=Hanging(), patience=10.0, max_wait=3.0)
        begun = anyio.current_time()
        with pytest.raises(RateLimitReached) as caught:
            await policy.around(call(), Server().answer)
        assert (caught.value.retry_after or 0) > 0
        assert anyio.current_time() - begun <= 20  # to ask, and to say that it will not come

    run(main)


@virtual
def test_who_stands_behind_one_that_waits_for_a_place_gives_up_in_time(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(requests_per_minute=60, state=Hanging(), patience=10.0, max_wait=3.0)
        begun, refused = anyio.current_time(), list[float]()

        async def ask() -> None:
            with pytest.raises(RateLimitReached) as caught:
                await policy.around(call(), Server().answer)
            assert (caught.value.retry_after or 0) > 0
            refused.append(anyio.current_time() - begun)

        with anyio.fail_after(HOUR):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                group.start_soon(ask)
        assert refused[0] == 3

    run(main)


def test_a_time_to_wait_is_not_negative() -> None:
    with pytest.raises(ConfigurationError):
        RateLimit(max_wait=-1.0)


@virtual
def test_a_wait_that_does_not_fit_the_deadline_is_refused_at_once_and_takes_no_place(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=6, burst=0), Server()
        await policy.around(call(), server.answer)
        with pytest.raises(RateLimitReached) as caught:
            await policy.around(call(until=anyio.current_time() + 9), server.answer)
        assert caught.value.retry_after == pytest.approx(10, abs=1e-3)
        assert caught.value.upstream == "model:m"
        sent = await side_by_side(policy, server, call(until=anyio.current_time() + 11))
        assert sent[-1] == pytest.approx(10, abs=1e-3)

    run(main)


@virtual
def test_a_call_behind_many_others_is_refused_at_once_when_its_turn_comes_too_late(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=60, burst=0), Server()
        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(policy.around, call(), server.answer)
            await anyio.wait_all_tasks_blocked()
            asked = anyio.current_time()
            with pytest.raises(RateLimitReached) as caught:
                await policy.around(call(until=begun + 9), server.answer)
            assert anyio.current_time() == asked
            assert caught.value.retry_after == pytest.approx(begun + 10 - asked, abs=1e-3)
            assert policy.health()["rate limit model:m"].data["waiting"] == 9
            await policy.around(call(until=begun + 11), server.answer)
        assert policy.health()["rate limit model:m"].data["waiting"] == 0

    run(main)


@virtual
def test_who_has_to_wait_is_told_so_once_and_for_how_long_at_most(run: Run[None]) -> None:
    async def main() -> None:
        policy, told = RateLimit(requests_per_minute=60, burst=0), list[tuple[str, Event]]()

        def told_of(run: str) -> Call:
            def notify(event: Event) -> None:
                told.append((run, event))

            return replace(call(run=run), notify=notify)

        await side_by_side(policy, Server(), *(told_of(name) for name in "abc"))
        waits = [event.expected for _, event in told if isinstance(event, Delayed)]
        assert len({name for name, _ in told}) == len(told) == 2
        assert waits == pytest.approx([1, 2], abs=1e-3)
        assert told[0][1] == Delayed(call="model", name="m", reason="rate_limit", expected=waits[0])

    run(main)


@virtual
def test_who_waits_at_a_shared_place_is_told_so_once(run: Run[None]) -> None:
    """Nobody knows before that it will be long: the first looks again every second."""

    async def main() -> None:
        state, told = MemoryState(clock=anyio.current_time), list[Event]()
        mine, others = (RateLimit(requests_per_minute=6, burst=0, state=state) for _ in range(2))
        await others.around(call(), Server().answer)
        await mine.around(replace(call(), notify=told.append), Server().answer)
        assert len(told) == 1

    run(main)


@virtual
def test_an_operator_is_told_who_begins_to_wait_and_when_nobody_goes(run: Run[None]) -> None:
    async def main() -> None:
        policy, told = RateLimit(requests_per_minute=60, burst=0), list[ConditionChanged]()
        policy.report_to(told.append)
        await side_by_side(policy, Server(), *[call()] * 3)
        states = [(change.before, change.after) for change in told]
        assert states == [("ok", "waiting"), ("waiting", "ok")]
        await failing(policy, Server(), call(), ModelRateLimited("slow down", model="m", retry_after=20.0))
        await anyio.sleep(20)
        await one_by_one(policy, Server(), call())
        assert {change.name for change in told} == {"rate limit model:m"}
        states = [(change.before, change.after) for change in told if "blocked" in (change.before, change.after)]
        assert states[0][1] == states[-1][0] == "blocked"
        assert told[-1].after == "ok"
        assert isinstance(policy, ReportingPolicy)

    run(main)


@virtual
def test_an_operator_is_told_that_the_shared_place_is_gone_and_back(run: Run[None]) -> None:
    async def main() -> None:
        state, told = Unsteady(), list[ConditionChanged]()
        policy = RateLimit(requests_per_minute=600, state=state)
        policy.report_to(told.append)
        for gone in (False, True, False):
            state.gone = gone
            await anyio.sleep(5.1)
            await policy.around(call(), Server().answer)
        assert [(change.before, change.after) for change in told] == [("ok", "alone"), ("alone", "ok")]
        assert not told[0].condition.ok

    run(main)


@pytest.mark.anyio
async def test_a_state_that_was_given_by_its_address_is_closed_with_the_limit(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'state.db'}"
    one, other = (RateLimit(requests_per_minute=1, state=address, max_wait=0.5) for _ in range(2))
    assert isinstance(one, ClosingPolicy)
    with anyio.fail_after(5):
        await one.around(call(), Server().answer)
        await one.aclose()
        with pytest.raises(RateLimitReached):  # it knows what the first has let through
            await other.around(call(), Server().answer)
        await other.aclose()
        await other.aclose()
        await RateLimit().aclose()


@virtual
@pytest.mark.parametrize("cancelled", [0, 5])
def test_who_is_cancelled_while_waiting_gives_the_place_back(run: Run[None], cancelled: int) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=60, burst=0), Server()
        await policy.around(call(), server.answer)
        scopes = [anyio.CancelScope() for _ in range(10)]

        async def wait(scope: anyio.CancelScope) -> None:
            with scope:
                await policy.around(call(), server.answer)

        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for scope in scopes:
                group.start_soon(wait, scope)
                await anyio.wait_all_tasks_blocked()
            scopes[cancelled].cancel()
        assert [at - begun for at in server.asked[1:]] == pytest.approx([float(at) for at in range(1, 10)], abs=1e-3)

    run(main)


@virtual
def test_who_is_cancelled_when_its_turn_has_come_gives_the_place_back(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=1, tokens_per_minute=1), Server()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await policy.around(call(), server.answer)
        assert server.asked == []
        assert await one_by_one(policy, server, call()) == [0]

    run(main)


# --- what is given back


@virtual
@pytest.mark.parametrize(
    ("error", "taken"),
    [
        (CircuitOpen("model:m", retry_after=1.0), (0, 0)),
        (ModelUnreachable("x", model="m"), (0, 0)),
        (ModelRejected("x", model="m"), (1, 0)),
        (ValueError("a mistake"), (1, 0)),
        (ModelTimeout("x", model="m"), (1, 30)),
        (KeyboardInterrupt(), (1, 30)),
    ],
)
def test_a_call_that_failed_gives_back_what_it_has_not_used(
    run: Run[None], error: BaseException, taken: tuple[int, int]
) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=100, tokens_per_minute=1000), Server()
        await failing(policy, server, call(prompt=30, output=50), error)
        assert left(policy) == (100 - taken[0], 1000 - taken[1])

    run(main)


@virtual
def test_a_call_that_failed_in_mid_answer_has_used_its_prompt(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=100, tokens_per_minute=1000), Server()
        begun = replace(call(prompt=30, output=50), progress=Progress(begun=True, started=True))
        await failing(policy, server, begun, ModelBroke("x", model="m"))
        assert left(policy) == (99, 970)

    run(main)


@virtual
def test_where_nobody_knows_what_was_used_it_is_what_was_reserved(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(tokens_per_minute=1000), Server()
        await policy.around(call(prompt=30, output=50), server.answer)
        await policy.around(replace(call(prompt=30, output=50), usage=None), server.answer)
        assert left(policy) == (None, 840)

    run(main)


# --- what the server says


@virtual
def test_a_limit_without_numbers_takes_those_of_the_server(run: Run[None]) -> None:
    async def main() -> None:
        named = RateLimits(requests_limit=60, requests_left=2, tokens_limit=6000, tokens_left=5000)
        policy, server = RateLimit(), Server(answers=[response(limits=named)])
        assert await one_by_one(policy, server, *[call()] * 5) == pytest.approx([0, 0, 0, 1, 2], abs=1e-3)
        health = policy.health()["rate limit model:m"]
        assert health.ok
        assert health.data["requests_per_minute"] == 60
        assert health.data["tokens_per_minute"] == 6000

    run(main)


@virtual
def test_where_the_server_has_nothing_left_nobody_is_sent_before_the_reset(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit()
        server = Server(answers=[response(limits=RateLimits(tokens_left=0, tokens_reset=20.0))])
        await policy.around(call(), server.answer)
        health = policy.health()["rate limit model:m"]
        assert (health.ok, health.state, health.data["waiting"]) == (False, "blocked", 0)
        assert health.data["blocked_for"] == pytest.approx(20, abs=1e-3)
        with pytest.raises(RateLimitReached) as caught:
            await policy.around(call(until=anyio.current_time() + 5), server.answer)
        assert caught.value.retry_after == pytest.approx(20, abs=1e-3)
        assert (await one_by_one(policy, server, call()))[-1] == pytest.approx(20, abs=1e-3)

    run(main)


@virtual
def test_what_the_server_said_when_a_long_answer_began_may_be_over_when_it_ends(run: Run[None]) -> None:
    async def main() -> None:
        server = Server(takes=30, answers=[response(limits=RateLimits(tokens_left=0, tokens_reset=20.0))])
        assert await one_by_one(RateLimit(), server, call(), call()) == pytest.approx([0, 30], abs=1e-3)

    run(main)


@virtual
@pytest.mark.parametrize(
    "error",
    [
        ModelRateLimited("x", model="m", retry_after=20.0),
        ModelRateLimited("x", model="m", retry_after=20.0, limits=RateLimits(requests_left=0, requests_reset=10.0)),
        ModelRateLimited("x", model="m", limits=RateLimits(requests_left=0, requests_reset=20.0)),
    ],
)
def test_a_refusal_of_the_server_stops_all_for_as_long_as_it_asks(run: Run[None], error: ModelRateLimited) -> None:
    async def main() -> None:
        policy, server = RateLimit(), Server()
        await failing(policy, server, call(), error)
        sent = await side_by_side(policy, server, call(), call())
        assert sent[1:] == pytest.approx([20, 20], abs=1e-3)

    run(main)


@virtual
def test_a_refusal_without_a_word_stops_all_for_a_second_and_then_longer(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(), Server()
        refusal = ModelRateLimited("x", model="m")
        begun = anyio.current_time()
        for _ in range(3):
            await failing(policy, server, call(), refusal)
        await policy.around(call(), server.answer)
        await failing(policy, server, call(), refusal)
        await policy.around(call(), server.answer)
        assert [at - begun for at in server.asked] == pytest.approx([0, 1, 3, 7, 7, 8], abs=1e-3)

    run(main)


@virtual
def test_who_waits_while_the_server_refuses_another_waits_for_the_end_of_that_too(run: Run[None]) -> None:
    async def main() -> None:
        policy = RateLimit(requests_per_minute=60, burst=0)
        server = Server(takes=0.5, answers=[ModelRateLimited("x", model="m", retry_after=10.0)])

        async def refused() -> None:
            with pytest.raises(ModelRateLimited):
                await policy.around(call(), server.answer)

        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(refused)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(policy.around, call(), server.answer)
        assert [at - begun for at in server.asked] == pytest.approx([0, 10.5], abs=1e-3)

    run(main)


# --- a shared place


class Unsteady(MemoryState):
    """A shared place in virtual time that can be cut off, or hang."""

    def __init__(self) -> None:
        super().__init__(clock=anyio.current_time)
        self.gone = False
        self.hangs = False
        self.asked = 0

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        self.asked += 1
        if self.hangs:
            await anyio.sleep_forever()
        if self.gone:
            raise StoreUnavailable("no connection")
        return await super().update(owner, key, change)


@virtual
def test_workers_with_one_shared_place_hold_the_limit_together(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        workers = [RateLimit(requests_per_minute=60, burst=5, state=state) for _ in range(3)]
        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(workers[number % 3].around, call(run=str(number % 3)), server.answer)
        expected = [0.0] * 5 + [float(second) for second in range(1, 56)]
        assert [at - begun for at in server.asked] == pytest.approx(expected, abs=1e-3)
        assert [server.names.count(name) for name in "012"] == [20, 20, 20]
        assert 15 <= sum(name == "0" for name in server.names[:60]) <= 25

    run(main)


@virtual
def test_while_the_shared_place_is_gone_each_worker_keeps_to_its_share(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="assistant_kit.policies")

    async def main() -> None:
        state, server = Unsteady(), Server()
        workers = [RateLimit(requests_per_minute=60, burst=4, state=state, share=4) for _ in range(4)]
        for worker in workers:
            await worker.around(call(), server.answer)
        state.gone = True
        server.asked.clear()
        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(workers[number % 4].around, call(), server.answer)
        # Nothing was left when it went. Each worker sends one call in four seconds then: together, one in a second.
        expected = [float(second) for second in range(1, 41)]
        assert [at - begun for at in server.asked] == pytest.approx(expected, abs=1e-2)
        assert not workers[0].health()["rate limit model:m"].ok
        assert state.asked < 4 * 4 + 40
        state.gone = False
        await anyio.sleep(5.1)
        begun = anyio.current_time()
        server.asked.clear()
        for worker in workers:
            await worker.around(call(), server.answer)
        assert workers[0].health()["rate limit model:m"].data["alone"] is False
        assert len(server.asked) == 4

    run(main)
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING] * 4 + [logging.INFO] * 4


@virtual
def test_what_was_sent_while_the_shared_place_was_gone_is_charged_when_it_is_back(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        state.gone = True
        workers = [RateLimit(requests_per_minute=60, burst=20, state=state, share=2) for _ in range(2)]
        for worker in workers:
            for _ in range(10):
                await worker.around(call(until=anyio.current_time() + 0.1), server.answer)
            with pytest.raises(RateLimitReached):
                await worker.around(call(until=anyio.current_time() + 0.1), server.answer)
        state.gone = False
        await anyio.sleep(6)
        for worker in workers:
            await worker.around(call(), server.answer)
        # 20 were sent, which is all that was saved up. The place knew nothing of them, and of six seconds since.
        assert left(workers[1]) == (20 - 2 * 7 - 2, None)

    run(main)


@virtual
def test_what_a_worker_has_seen_of_the_shared_place_goes_on_by_the_clock_of_that_place(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        policy = RateLimit(requests_per_minute=60, burst=20, state=state)
        await policy.around(call(), server.answer)
        state.gone = True
        await one_by_one(policy, server, *[call()] * 10)
        state.gone = False
        await anyio.sleep(5.1)
        await policy.around(call(), server.answer)
        assert left(policy) == (20 - 11 + 5 - 1, None)

    run(main)


@virtual
def test_who_is_refused_holds_up_nobody_at_another_worker(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        first, second = (RateLimit(tokens_per_minute=60, burst=10, state=state) for _ in range(2))
        await first.around(call(prompt=10), server.answer)
        with pytest.raises(RateLimitReached):
            await first.around(call(prompt=10, until=anyio.current_time() + 5), server.answer)
        assert await one_by_one(second, server, call(prompt=1)) == pytest.approx([0, 1], abs=1e-3)

    run(main)


@virtual
def test_a_shared_place_that_hangs_holds_a_call_up_for_a_second_once_and_refuses_none(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        state.hangs = True
        policy = RateLimit(requests_per_minute=600, state=state, share=2)
        until = anyio.current_time() + 10
        sent = await side_by_side(policy, server, *[call(until=until)] * 5)
        assert sent == pytest.approx([1] * 5, abs=1e-3)
        assert state.asked == 1

    run(main)


@virtual
def test_a_place_that_fails_again_while_it_is_tried_forgets_nothing(run: Run[None]) -> None:
    async def main() -> None:
        state, server = Unsteady(), Server()
        state.gone = True
        policy = RateLimit(requests_per_minute=60, state=state, share=60)
        await policy.around(call(), server.answer)
        await anyio.sleep(6)
        asked = state.asked
        with pytest.raises(RateLimitReached):
            await policy.around(call(until=anyio.current_time() + 50), server.answer)
        assert state.asked == asked + 1

    run(main)


# --- what is kept and told


def test_a_line_is_the_same_after_it_was_kept_as_bytes() -> None:
    line, _ = reserve(fitted(None, Rates(requests=60, tokens=5), now=3), tokens=7, now=3)
    line = replace(line, blocked=9, strikes=2, learned=Learned(requests=60, at=4))
    assert decoded(encoded(line)) == line
    assert decoded(encoded(Line(born=1, front=1))) == Line(born=1, front=1)
    assert decoded(None) is None
    assert decoded(b"[0]") is None


@virtual
def test_things_that_nobody_calls_any_more_are_forgotten(run: Run[None]) -> None:
    async def main() -> None:
        server = Server()
        for policy in (RateLimit(requests_per_minute=60), RateLimit(requests_per_minute=60, state=Unsteady())):
            await policy.around(replace(call(), name="old"), server.answer)
            await anyio.sleep(HOUR)
            for _ in range(512):
                await policy.around(replace(call(), name="new"), server.answer)
            assert set(policy.health()) == {"rate limit model:new"}

    run(main)


@virtual
def test_many_things_are_limited_each_for_itself(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=60, burst=1), Server()
        names = [replace(call(), name=str(number)) for number in range(100)]
        assert await one_by_one(policy, server, *names) == [0] * 100
        sent = await one_by_one(policy, server, *names)
        assert sent[100:] == pytest.approx([1] * 100, abs=1e-3)

    run(main)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": -1},
        {"burst": -1.0},
        {"burst": inf},
        {"share": 0},
    ],
)
def test_a_limit_by_which_nothing_could_go_is_refused(wrong: Mapping[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        RateLimit(**wrong)  # pyright: ignore[reportArgumentType]


def test_what_applies_to_a_call_is_told() -> None:
    policy: Policy = RateLimit(requests_per_minute=60, tokens_per_minute=100_000)
    assert isinstance(policy, ExplainedPolicy)
    assert isinstance(policy, WatchedPolicy)
    assert "60 requests and 100,000 tokens" in policy.explain(call())
    assert "server" in RateLimit().explain(call())
    assert policy.explain(Call(name="m")) == ""


def test_the_state_can_be_read_when_no_event_loop_runs() -> None:
    policy = RateLimit(requests_per_minute=60)
    in_virtual_time("trio", lambda: policy.around(call(), Server().answer))
    assert policy.health()["rate limit model:m"].ok
    assert policy.health()["rate limit model:m"].data["requests_left"] in {59, 60}


class Distant(Unsteady):
    """A shared place that takes a while to answer."""

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        await anyio.sleep(0.03)
        changed = await super().update(owner, key, change)
        await anyio.sleep(0.03)
        return changed


@virtual
@pytest.mark.parametrize("make", [lambda: None, Unsteady, Distant])
@pytest.mark.parametrize("seed", range(2))
def test_whoever_is_cancelled_at_any_time_leaves_nothing_behind(
    run: Run[None], make: Callable[[], Unsteady | None], seed: int
) -> None:
    async def main() -> None:
        chance, state = random.Random(seed), make()
        policies = [RateLimit(requests_per_minute=60, burst=0, state=state) for _ in range(1 if state is None else 3)]
        server = Server(takes=0.2)

        async def impatient(policy: RateLimit, patience: float) -> None:
            with anyio.move_on_after(patience):
                await policy.around(call(), server.answer)

        with anyio.fail_after(HOUR):
            async with anyio.create_task_group() as group:
                for number in range(60):
                    patience = inf if number % 2 else chance.choice([0.0, 0.03, chance.random(), 40 * chance.random()])
                    group.start_soon(impatient, policies[number % len(policies)], patience)
        gaps = [after - before for before, after in pairwise(server.asked)]
        assert len(server.asked) >= 30
        assert min(gaps) > 0.9
        assert state is not None or max(gaps) < 1.1, "a place that is given back is taken at once"
        assert all(policy.health()["rate limit model:m"].data["waiting"] == 0 for policy in policies)
        if state is not None:
            line = decoded((await state.values(""))["rate/model:m"])
            assert line is not None
            assert line.waiting == ()

    run(main)


@virtual
def test_who_is_cancelled_while_the_shared_place_answers_gives_back_what_it_got(run: Run[None]) -> None:
    async def main() -> None:
        policy, server = RateLimit(requests_per_minute=1, burst=60, state=Distant()), Server()
        with anyio.move_on_after(0.045):
            await policy.around(call(), server.answer)
        assert server.asked == []
        sent = await one_by_one(policy, server, call())
        assert sent == pytest.approx([0.06], abs=1e-3)

    run(main)

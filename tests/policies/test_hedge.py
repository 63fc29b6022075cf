"""A slow call is made a second time, and the answer that begins first is the only one that is seen."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assistant_kit.assistant import Assistant
from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError, ModelBroke, ModelError, ModelRejected, ModelUnavailable
from assistant_kit.events import Event, Retrying, Token
from assistant_kit.policies._latency import Latencies, rank
from assistant_kit.policies.hedge import Hedge
from assistant_kit.policies.retry import Retry
from assistant_kit.policy_chain import guarded, through
from assistant_kit.protocols.model import ModelResponse, Progress
from assistant_kit.protocols.policy import Call, CallKind, ConditionChanged, Policy
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.testing.scripted_model import Cut, Delay, Fail, Say, ScriptedModel, Step
from assistant_kit.tool_spec import Effect
from assistant_kit.usage import Usage
from tests.cancellation.steps import How, cancelled_at
from tests.policies.timing import LOOPS, in_virtual_time

DOWN = ModelUnavailable("down", model="m")
both_loops = pytest.mark.parametrize("loop", LOOPS)


@dataclass(frozen=True, slots=True)
class Plan:
    """One attempt: each piece of text after so many seconds, then the end: a failure, or the whole text."""

    pieces: Sequence[tuple[float, str]] = ()
    rest: float = 0.0
    error: Exception | None = None

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.pieces)

    @property
    def sign(self) -> float:
        """After how long an answer begins."""
        if self.pieces:
            return self.pieces[0][0]
        return inf if self.error else self.rest


@dataclass
class Provider:
    """Plays a plan for each attempt; knows when each was asked, and how many go on."""

    plans: Sequence[Plan]
    asked: list[float] = field(default_factory=list[float])
    going_on: int = 0

    async def answer(self, call: Call) -> str:
        plan = self.plans[len(self.asked)]
        self.asked.append(anyio.current_time())
        self.going_on += 1
        try:
            for seconds, text in plan.pieces:
                await anyio.sleep(seconds)
                call.emit(Token(text))
            await anyio.sleep(plan.rest)
            if plan.error is not None:
                raise plan.error
            return plan.text
        finally:
            self.going_on -= 1


def model_call(
    *,
    kind: CallKind = "model",
    name: str = "m",
    effect: Effect = "read",
    until: float = inf,
    seen: list[Event] | None = None,
) -> Call:
    events = [] if seen is None else seen
    return Call(
        kind=kind,
        name=name,
        effect=effect,
        deadline=Deadline(until),
        streams=True,
        emit=events.append,
        notify=events.append,
    )


def made_and_won(hedge: Hedge, key: str = "model:m") -> tuple[object, object]:
    data = hedge.health()[f"hedge {key}"].data
    return data["made"], data["won"]


async def tried(hedge: Policy, provider: Provider, call: Call) -> str | Exception:
    """Make a call; afterwards nothing of it goes on."""
    before = len(anyio.get_running_tasks())
    try:
        with anyio.fail_after(1_000):
            result: str | Exception = await through([hedge], call, provider.answer)
    except ModelError as error:
        result = error
    assert provider.going_on == 0
    assert len(anyio.get_running_tasks()) == before
    return result


def played(loop: str, hedge: Policy, provider: Provider, call: Call | None = None) -> str | Exception:
    return in_virtual_time(loop, lambda: tried(hedge, provider, call or model_call()))


# --- who wins


@both_loops
def test_a_slow_answer_is_overtaken_and_nothing_of_it_is_seen(loop: str) -> None:
    hedge, seen = Hedge(after=2.0), list[Event]()
    provider = Provider([Plan([(10.0, "slow")]), Plan([(1.0, "quick "), (20.0, "answer")], rest=1.0)])
    assert played(loop, hedge, provider, model_call(seen=seen)) == "quick answer"
    assert seen == [Token("quick "), Token("answer")]
    assert provider.asked == [provider.asked[0], provider.asked[0] + 2]
    assert made_and_won(hedge) == (1, 1)


@both_loops
def test_the_first_answer_is_taken_when_it_begins_before_the_second(loop: str) -> None:
    hedge, seen = Hedge(after=2.0), list[Event]()
    provider = Provider([Plan([(3.0, "first "), (20.0, "answer")]), Plan([(5.0, "second")])])
    assert played(loop, hedge, provider, model_call(seen=seen)) == "first answer"
    assert seen == [Token("first "), Token("answer")]
    assert made_and_won(hedge) == (1, 0)


@both_loops
def test_an_answer_that_begins_in_time_is_asked_for_once(loop: str) -> None:
    hedge = Hedge(after=2.0)
    provider = Provider([Plan([(1.0, "slow "), (50.0, "but sure")])])
    assert played(loop, hedge, provider) == "slow but sure"
    assert made_and_won(hedge) == (0, 0)


@both_loops
def test_without_deltas_the_result_that_comes_first_counts(loop: str) -> None:
    hedge = Hedge(after=2.0)
    assert played(loop, hedge, Provider([Plan(rest=9.0), Plan([], rest=1.0)])) == ""
    assert made_and_won(hedge) == (1, 1)
    assert played(loop, hedge, Provider([Plan(rest=3.0), Plan([], rest=9.0)])) == ""
    assert made_and_won(hedge) == (2, 1)


@both_loops
def test_an_answer_that_has_begun_without_a_delta_is_not_hedged(loop: str) -> None:
    async def call_a_tool(call: Call) -> str:
        call.progress.begun = True
        await anyio.sleep(9.0)
        return "a tool call"

    hedge = Hedge(after=2.0)
    assert in_virtual_time(loop, lambda: hedge.around(model_call(), call_a_tool)) == "a tool call"
    assert made_and_won(hedge) == (0, 0)


@both_loops
def test_an_answer_of_which_the_reader_has_seen_a_part_is_not_hedged(loop: str) -> None:
    begun = replace(model_call(), progress=Progress(started=True))
    provider = Provider([Plan([(9.0, "more")]), Plan([(1.0, "again")])])
    assert played(loop, Hedge(after=2.0), provider, begun) == "more"
    assert len(provider.asked) == 1


@both_loops
def test_what_a_loser_still_says_while_it_ends_is_not_seen(loop: str) -> None:
    seen = list[Event]()
    asked = list[Call]()

    async def stubborn(call: Call) -> str:
        asked.append(call)
        if len(asked) == 2:
            call.emit(Token("quick"))
            await anyio.sleep(1.0)
            return "quick"
        try:
            await anyio.sleep(60.0)
        finally:
            call.emit(Token("too late"))
            call.notify(Retrying(attempt=2, delay=1.0, error=DOWN))
        return "never"

    call = model_call(seen=seen)
    assert in_virtual_time(loop, lambda: Hedge(after=2.0).around(call, stubborn)) == "quick"
    assert seen == [Token("quick")]


@both_loops
def test_the_progress_that_others_watch_is_that_of_the_winner(loop: str) -> None:
    progress = list[Progress]()
    call = replace(model_call(), progress=Progress(text=["shown"]))

    async def attempt(attempted: Call) -> str:
        progress.append(attempted.progress)
        await anyio.sleep(9.0 if len(progress) == 1 else 1.0)
        assert not call.progress.begun
        attempted.emit(Token("x"))
        return "x"

    assert in_virtual_time(loop, lambda: Hedge(after=2.0).around(call, attempt)) == "x"
    slow, quick = progress
    assert (slow.started, quick.started, call.progress.begun) == (False, True, True)
    assert quick.retract() == "shown"
    assert call.progress.retract() == ""


# --- failures


@both_loops
def test_a_call_that_fails_before_the_hedge_fails_at_once(loop: str) -> None:
    hedge, provider = Hedge(after=2.0), Provider([Plan(rest=1.0, error=DOWN)])
    assert played(loop, hedge, provider) is DOWN
    assert made_and_won(hedge) == (0, 0)


@both_loops
def test_while_one_attempt_fails_the_other_goes_on(loop: str) -> None:
    good, bad = Plan([(8.0, "good")]), Plan(rest=3.0, error=DOWN)
    for plans in ([good, bad], [bad, good]):
        seen = list[Event]()
        assert played(loop, Hedge(after=2.0), Provider(plans), model_call(seen=seen)) == "good"
        assert seen == [Token("good")]


@both_loops
def test_when_both_fail_the_first_error_is_raised_as_it_is(loop: str) -> None:
    other = ModelBroke("broke", model="m")
    for wait in (1.0, 20.0):
        plans = [Plan(rest=9.0, error=DOWN), Plan(rest=wait, error=other)]
        assert played(loop, Hedge(after=2.0), Provider(plans)) is DOWN


@both_loops
def test_an_answer_that_breaks_after_it_was_heard_is_not_saved_by_the_other(loop: str) -> None:
    other, seen = ModelBroke("broke", model="m"), list[Event]()
    provider = Provider([Plan([(9.0, "slow")]), Plan([(1.0, "quick")], rest=1.0, error=other)])
    assert played(loop, Hedge(after=2.0), provider, model_call(seen=seen)) is other
    assert seen == [Token("quick")]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyboardInterrupt()])
async def test_foreign_errors_leave_as_they_are(error: BaseException) -> None:
    async def fail(_: Call) -> str:
        await checkpoint()
        raise error

    with anyio.fail_after(5), pytest.raises(type(error)):
        await Hedge(after=60.0).around(model_call(), fail)


# --- when there is no hedge


@both_loops
def test_a_hedge_takes_from_the_budget_that_it_shares_and_is_not_made_without(loop: str) -> None:
    budget = RetryBudget(capacity=10, cost=10)
    hedge = Hedge(after=2.0, budget=budget)
    plans = [Plan([(9.0, "slow")]), Plan([(1.0, "quick")])]
    assert hedge.health()["hedge budget"].state == "ok"
    assert played(loop, hedge, Provider(plans)) == "quick"
    assert budget.lowest == 0
    assert hedge.health()["hedge budget"].state == "used up"
    assert played(loop, hedge, Provider(plans)) == "slow"
    assert budget.lowest == 0  # the retries fill it
    assert made_and_won(hedge) == (1, 1)


@both_loops
def test_it_is_told_when_a_delay_is_known_and_when_the_budget_is_used_up(loop: str) -> None:
    told: list[ConditionChanged] = []
    hedge = Hedge(percentile=0.5, min_calls=2, window=20, budget=RetryBudget(capacity=10, cost=10))
    hedge.report_to(told.append)
    for _ in range(3):
        played(loop, hedge, Provider([Plan([(1.0, "quick")])]))
    played(loop, hedge, Provider([Plan([(9.0, "slow")]), Plan([(1.0, "quick")])]))
    assert [(one.name, one.before, one.after) for one in told] == [
        ("hedge model:m", "learning", "ready"),
        ("hedge budget", "ok", "used up"),
    ]


@both_loops
def test_a_hedge_that_is_given_a_budget_goes_on_with_what_it_has_learned(loop: str) -> None:
    told: list[ConditionChanged] = []
    hedge, budget = Hedge(after=2.0), RetryBudget(capacity=10, cost=10)
    hedge.report_to(told.append)
    drawing = hedge.drawing_on(budget)
    drawing.report_to(told.append)
    assert drawing.budget is budget
    assert drawing.drawing_on(RetryBudget()) is drawing
    played(loop, drawing, Provider([Plan([(9.0, "slow")]), Plan([(1.0, "quick")])]))
    assert made_and_won(hedge) == (1, 1)
    assert [one.after for one in told] == ["used up"]


@both_loops
def test_a_budget_of_its_own_is_filled_by_calls_that_needed_no_hedge(loop: str) -> None:
    hedge = Hedge(after=2.0)
    slow, quick = Plan([(9.0, "slow")]), Plan([(1.0, "quick")])
    for _ in range(3):
        played(loop, hedge, Provider([slow, quick]))
    left = RetryBudget().capacity - 3 * RetryBudget().cost
    assert hedge.health()["hedge budget"].data["left"] == left
    for _ in range(3):
        played(loop, hedge, Provider([quick]))
    assert hedge.health()["hedge budget"].data["left"] == left + 3


@both_loops
def test_a_hedge_that_would_begin_at_the_deadline_or_later_is_none(loop: str) -> None:
    async def until(seconds: float) -> tuple[object, object]:
        hedge = Hedge(after=2.0)
        call = model_call(until=anyio.current_time() + seconds)
        await hedge.around(call, Provider([Plan([(9.0, "slow")]), Plan([(1.0, "quick")])]).answer)
        return made_and_won(hedge)

    assert in_virtual_time(loop, lambda: until(2.0)) == (0, 0)
    assert in_virtual_time(loop, lambda: until(2.5)) == (1, 1)


@both_loops
@pytest.mark.parametrize("call", [model_call(kind="tool"), model_call(effect="once")], ids=["kind", "effect"])
def test_other_kinds_and_calls_that_may_do_harm_are_made_once(loop: str, call: Call) -> None:
    hedge = Hedge(after=2.0)
    assert played(loop, hedge, Provider([Plan([(9.0, "slow")])]), call) == "slow"
    assert set(hedge.health()) == {"hedge budget"}


@both_loops
def test_any_function_can_be_hedged(loop: str) -> None:
    times = iter([9.0, 1.0])

    async def fetch() -> float:
        seconds = next(times)
        await anyio.sleep(seconds)
        return seconds

    hedge = Hedge(after=2.0, kinds=("other",))
    assert in_virtual_time(loop, lambda: guarded(fetch, hedge, name="crm", effect="read")) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Hedge(after=-1.0),
        lambda: Hedge(after=float("nan")),
        lambda: Hedge(percentile=1.0),
        lambda: Hedge(percentile=0.0),
        lambda: Hedge(min_calls=0),
        lambda: Hedge(min_calls=101),
        lambda: Hedge(percentile=0.995),
    ],
    ids=["after the fact", "after nan", "all", "none", "no calls", "more than the window", "too fine"],
)
def test_figures_by_which_no_hedge_could_be_made_are_refused(make: Callable[[], Hedge]) -> None:
    with pytest.raises(ConfigurationError):
        make()
    Hedge(percentile=0.99)


# --- the delay


def test_a_percentile_leaves_its_share_of_calls_above_it() -> None:
    latencies = Latencies(window=100)
    assert latencies.percentile(0.5) is None
    for seconds in range(18):
        latencies.add(seconds)
    assert latencies.percentile(0.95) is None
    latencies.add(18)
    assert latencies.percentile(0.95) == 18
    assert latencies.percentile(0.5) == 9
    for seconds in range(19, 99):
        latencies.add(seconds)
    assert (latencies.percentile(0.95), len(latencies)) == (94, 99)


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), max_size=30), st.integers(1, 9), st.floats(0.01, 0.99))
def test_only_the_latest_calls_count(calls: list[float], window: int, percentile: float) -> None:
    latencies = Latencies(window)
    for seconds in calls:
        latencies.add(seconds)
    latest = sorted(calls[-window:])
    place = rank(percentile, len(latest))
    assert latencies.percentile(percentile) == (latest[place - 1] if place <= len(latest) else None)
    assert len(latencies) == len(latest)


@both_loops
def test_there_are_no_hedges_until_enough_calls_of_that_name_are_known(loop: str) -> None:
    hedge = Hedge(min_calls=20)
    slow = [Plan([(9.0, "slow")]), Plan([(1.0, "quick")])]
    slower = [Plan([(12.0, "slow")]), Plan([(1.0, "quick")])]

    async def run() -> None:
        for number in range(20):
            assert await tried(hedge, Provider(slow), model_call()) == "slow"
            assert number == 19 or f"{number + 1} of 20" in hedge.explain(model_call())
            await tried(hedge, Provider([Plan([(1.0, "x")])]), model_call(name="other"))
        assert hedge.health()["hedge model:m"].data["delay"] == pytest.approx(9.0)
        assert await tried(hedge, Provider(slower), model_call()) == "quick"

    in_virtual_time(loop, run)
    assert hedge.health()["hedge model:other"].data["delay"] == pytest.approx(1.0)


@both_loops
def test_whole_answers_do_not_delay_the_hedges_of_streamed_ones(loop: str) -> None:
    hedge = Hedge(min_calls=1, percentile=0.5, window=3)
    whole = replace(model_call(), streams=False)

    async def run() -> None:
        await tried(hedge, Provider([Plan(rest=60.0)]), whole)
        await tried(hedge, Provider([Plan([(1.0, "begun ")], rest=59.0)]), model_call())

    in_virtual_time(loop, run)
    assert hedge.health()["hedge model:m"].data["delay"] == 1.0
    assert hedge.health()["hedge model:m (not streamed)"].data["delay"] == 60.0
    assert "60 s" in hedge.explain(whole)


@both_loops
def test_failures_tell_nothing_about_how_long_an_answer_takes(loop: str) -> None:
    hedge = Hedge(min_calls=1, percentile=0.5, window=3)

    async def run() -> None:
        await tried(hedge, Provider([Plan(rest=4.0)]), model_call())
        for _ in range(5):
            assert await tried(hedge, Provider([Plan(rest=1.0, error=DOWN)]), model_call()) is DOWN
        plans = [Plan(rest=5.0, error=DOWN), Plan(rest=3.0)]
        assert await tried(hedge, Provider(plans), model_call()) == ""

    in_virtual_time(loop, run)
    assert hedge.health()["hedge model:m"].data["delay"] == 4.0


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("percentile", [0.9, 0.95])
def test_under_a_steady_load_the_share_of_hedges_stays_what_the_percentile_leaves(loop: str, percentile: float) -> None:
    chance, calls = random.Random(5), 1_500
    hedge = Hedge(percentile=percentile, budget=RetryBudget(capacity=100_000))

    async def attempt(_: Call) -> None:
        await anyio.sleep(chance.lognormvariate(0.0, 1.0))

    async def run(seconds: float) -> None:
        for _ in range(calls):
            await hedge.around(model_call(), attempt)
        made, won = made_and_won(hedge)
        assert isinstance(made, int)
        assert isinstance(won, int)
        assert (1 - percentile) * 0.7 < made / calls < (1 - percentile) * 1.3
        assert won > made / 2
        delay = hedge.health()["hedge model:m"].data["delay"]
        assert isinstance(delay, float)
        assert seconds / 2 < delay < seconds * 2

    in_virtual_time(loop, lambda: run({0.9: 3.60, 0.95: 5.18}[percentile]))


@both_loops
def test_when_everything_becomes_slower_the_delay_follows(loop: str) -> None:
    chance = random.Random(7)
    hedge = Hedge(budget=RetryBudget(capacity=100_000))

    async def made_in(calls: int, *, slowness: float) -> int:
        async def attempt(_: Call) -> None:
            await anyio.sleep(slowness * chance.lognormvariate(0.0, 0.5))

        for _ in range(calls):
            await hedge.around(model_call(), attempt)
        made = made_and_won(hedge)[0]
        assert isinstance(made, int)
        return made

    async def run() -> None:
        await made_in(400, slowness=1.0)
        before = await made_in(400, slowness=10.0)
        assert await made_in(400, slowness=10.0) - before < 40

    in_virtual_time(loop, run)


@pytest.mark.anyio
async def test_of_very_many_names_those_met_first_are_forgotten() -> None:
    hedge = Hedge(after=60.0)
    for number in range(1_010):
        await hedge.around(model_call(name=f"m{number}"), Provider([Plan()]).answer)
    names = set(hedge.health())
    assert len(names) == 1_001
    assert "hedge model:m1009" in names
    assert "hedge model:m9" not in names


def test_what_applies_to_a_call_is_told() -> None:
    assert Hedge().explain(model_call(kind="tool")) == ""
    assert "never" in Hedge().explain(model_call(effect="once"))
    assert "0 of 20" in Hedge().explain(model_call())
    assert "2 s" in Hedge(after=2.0).explain(model_call())
    known = Hedge(min_calls=1, percentile=0.5, window=3)
    in_virtual_time("trio", lambda: known.around(model_call(), Provider([Plan(rest=3.0)]).answer))
    assert "3 s" in known.explain(model_call())
    assert "0.5" in known.explain(model_call())


# --- with retries inside


@both_loops
def test_the_reader_hears_of_the_retries_of_the_attempt_that_goes_on(loop: str) -> None:
    seen, asked = list[Event](), list[float]()
    retry = Retry(attempts=2, base=1.0, uniform=lambda: 1.0)

    async def fail(_: Call) -> str:
        asked.append(anyio.current_time())
        await anyio.sleep([3.0, 5.0, 9.0, 9.0][len(asked) - 1])
        if len(asked) < 4:
            raise DOWN
        return "answer"

    async def run() -> str:
        return await through([Hedge(after=2.0), retry], model_call(seen=seen), fail)

    # The first fails after 3 s and goes on. The second fails after 7 s: as long as the first goes on, it says nothing.
    assert in_virtual_time(loop, run) == "answer"
    assert seen == [Retrying(attempt=2, delay=1.0, error=DOWN)]


@both_loops
def test_once_the_first_attempt_has_failed_the_reader_hears_of_the_retries_of_the_second(loop: str) -> None:
    seen = list[Event]()

    async def make(call: Call) -> str:
        if not calls:
            calls.append(call)
            await anyio.sleep(3.0)
            raise DOWN
        call.notify(Retrying(attempt=2, delay=1.0, error=DOWN))
        await anyio.sleep(4.0)
        call.notify(Retrying(attempt=3, delay=1.0, error=DOWN))
        return "answer"

    calls = list[Call]()
    assert in_virtual_time(loop, lambda: Hedge(after=2.0).around(model_call(seen=seen), make)) == "answer"
    assert seen == [Retrying(attempt=3, delay=1.0, error=DOWN)]


# --- in an assistant


ONE = Usage(requests=1, input_tokens=100, output_tokens=7)


async def asked(hedge: Hedge, *steps: Step) -> tuple[str, Usage, str]:
    with ScriptedModel(steps) as model:
        async with (
            Assistant(model, policies=[hedge, Retry(base=0)]) as assistant,
            assistant.stream("Hello") as run,
        ):
            read = "".join([event.text async for event in run if event.kind == "token"])
            result = await run.result()
        return result.text, result.usage, read


@both_loops
def test_the_request_of_the_loser_is_counted_with_all_that_it_has_read(loop: str) -> None:
    said, used, read = in_virtual_time(
        loop, lambda: asked(Hedge(after=1.0), Delay(9.0, Say("slow one", usage=ONE)), Say("quick one", usage=ONE))
    )
    assert (said, read) == ("quick one", "quick one")
    assert (used.requests, used.output_tokens, used.reported) == (2, 7, False)
    assert 100 < used.input_tokens < 200


@both_loops
def test_an_attempt_that_has_failed_by_itself_is_not_counted(loop: str) -> None:
    steps = [Delay(3.0, Say("slow one", usage=ONE)), Fail(ModelRejected("no", model="m"))]
    said, used, read = in_virtual_time(loop, lambda: asked(Hedge(after=1.0), *steps))
    assert (said, read, used) == ("slow one", "slow one", ONE)


@both_loops
def test_a_loser_that_has_answered_all_the_same_is_counted_as_it_was(loop: str) -> None:
    answered = ModelResponse(items=(), usage=ONE, model="m")
    made = list[int]()

    async def attempt(_: Call) -> ModelResponse:
        made.append(1)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(9.0 if len(made) == 1 else 1.0)
        return answered

    result = in_virtual_time(loop, lambda: Hedge(after=2.0).around(model_call(), attempt))
    assert result.usage == ONE + ONE


@both_loops
def test_a_second_answer_that_breaks_off_is_retracted_by_no_one_when_it_was_not_seen(loop: str) -> None:
    said, _, read = in_virtual_time(
        loop, lambda: asked(Hedge(after=1.0), Delay(3.0, Say("first")), Delay(4.0, Cut(after="second")))
    )
    assert (said, read) == ("first", "first")


# --- what always holds


@pytest.mark.parametrize(("loop", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
def test_whoever_cancels_a_hedged_call_at_any_point_leaves_nothing_behind(loop: str, how: How) -> None:
    plans = [Plan([(9.0, "slow")], rest=1.0), Plan([(1.0, "quick "), (1.0, "one")], rest=1.0)]

    async def at(step: int) -> bool:
        provider, seen = Provider(plans), list[Event]()
        call = model_call(seen=seen)

        async def run() -> None:
            assert await Hedge(after=2.0).around(call, provider.answer) == "quick one"

        before = len(anyio.get_running_tasks())
        with anyio.fail_after(1_000):
            cancelled = await cancelled_at(step, run, how=how)
        assert provider.going_on == 0
        assert len(anyio.get_running_tasks()) == before
        assert "quick one".startswith("".join(event.text for event in seen if event.kind == "token"))
        return cancelled.made

    async def every() -> int:
        step = 1
        while await at(step):
            step += 1
        return step

    assert in_virtual_time(loop, every) > 6


SECONDS = st.integers(0, 40).map(lambda tenths: tenths / 10)


@st.composite
def plans(draw: st.DrawFn, name: str) -> Plan:
    waits = draw(st.lists(SECONDS, max_size=3))
    error = ModelUnavailable(name, model=name) if draw(st.booleans()) else None
    return Plan([(seconds, f"{name}{i} ") for i, seconds in enumerate(waits)], rest=draw(SECONDS), error=error)


@both_loops
@settings(max_examples=80)
@given(first=plans("a"), second=plans("b"), after=SECONDS)
def test_one_attempt_is_heard_and_one_only(loop: str, first: Plan, second: Plan, after: float) -> None:
    hedge, seen, provider = Hedge(after=after), list[Event](), Provider([first, second])
    result = played(loop, hedge, provider, model_call(seen=seen))
    read = "".join(event.text for event in seen if event.kind == "token")
    if isinstance(result, str):
        assert read == result
        assert result in (first.text, second.text)
    else:
        assert any(result is plan.error and read == plan.text for plan in (first, second))
    assert len(provider.asked) <= 2
    assert made_and_won(hedge)[0] == len(provider.asked) - 1


@both_loops
@settings(max_examples=80)
@given(first=plans("a"), second=plans("b"), after=SECONDS)
def test_the_attempt_is_heard_whose_answer_begins_first(loop: str, first: Plan, second: Plan, after: float) -> None:
    end = first.sign if first.sign < inf else first.rest
    assume(after != end)
    assume(first.sign != after + second.sign)
    provider = Provider([first, second])
    result = played(loop, Hedge(after=after), provider)
    hedged = after < end
    heard = second if hedged and after + second.sign < first.sign else first
    assert len(provider.asked) == 1 + hedged
    assert result is heard.error if heard.error else result == heard.text

"""Observers are told of calls, and of what comes between them."""

from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ModelTimeout, ModelUnavailable, OutcomeUnknown, ToolError
from assistant_kit.messages import AssistantMessage, Text, ToolCall
from assistant_kit.observers.observing import observed
from assistant_kit.policies.bulkhead import Bulkhead
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.hedge import Hedge
from assistant_kit.policies.retry import Retry
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.policy_chain import guarded, through
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.protocols.observer import (
    CallDelayed,
    CallRetried,
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    ModelReplaced,
    ToolCallBegan,
    ToolCallEnded,
)
from assistant_kit.protocols.policy import Call, Policy
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.testing.scripted_model import Call as ToolUse
from assistant_kit.testing.scripted_model import CallTools, Cut, Delay, Fail, Say, ScriptedModel
from assistant_kit.tool_spec import Effect
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage
from tests.observers.kept import Kept
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio

USED = Usage(requests=1, input_tokens=100, output_tokens=10)
DOWN = ModelUnavailable("down", model="m")
PRICE = ModelPrice(input=1000, cached_input=100, output=2000, date="2026-11-22", source="test")


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return f"seen: {what}"


def observing(model: ScriptedModel, kept: Kept, *policies: Policy, inner: Sequence[Policy] = ()) -> Assistant[str]:
    return Assistant(model, tools=[look], policies=observed(policies, kept, inner=inner, prices=Prices({"m": PRICE})))


async def test_calls_of_models_and_tools_are_told_with_what_they_used() -> None:
    kept = Kept()
    model = ScriptedModel([CallTools(ToolUse("look", {"what": "it"})), Say("Seen.", usage=USED)], name="m")

    await observing(model, kept).run("Look", user="ann")

    asking = ["model_call_began", "model_call_ended"]
    assert kept.calls == [*asking, "tool_call_began", "tool_call_ended", *asking]
    answered = kept.of(ModelCallEnded)[1]
    assert (answered.status, answered.finish, answered.response_model, answered.error) == ("ok", "stop", "m", "")
    assert (answered.usage, answered.cost, answered.first_token) == (USED, 120_000, None)
    asked = answered.began
    assert (asked.model, asked.upstream, asked.user, asked.streams) == ("m", "m", "ann", False)
    assert asked.prompt_tokens > 0
    assert asked.run == kept.of(ModelCallBegan)[0].run != ""
    used = kept.only(ToolCallEnded)
    assert (used.began.tool, used.began.effect, used.outcome, used.error) == ("look", "read", "ok", "")
    assert used.began is kept.only(ToolCallBegan)


async def test_content_is_told_to_those_alone_who_read_it() -> None:
    blind, reading = Kept(), Kept(content=True)
    model = ScriptedModel([CallTools(ToolUse("look", {"what": "it"})), "Seen."], name="m")
    assistant = Assistant(model, tools=[look], policies=observed([], blind, reading))

    await assistant.run("Look")

    assert [ended.messages for ended in blind.of(ModelCallEnded)] == [None, None]
    assert blind.only(ToolCallEnded).content is None
    asked, said = reading.of(ModelCallEnded)
    assert [type(item) for item in asked.messages or ()] == [ToolCall]
    assert list(said.messages or ()) == [AssistantMessage(text="Seen.")]
    assert reading.only(ToolCallEnded).content == (Text(text="seen: it"),)


async def test_each_attempt_is_a_call_and_what_comes_between_is_told() -> None:
    kept = Kept()
    model, other = ScriptedModel([Fail(DOWN), Fail(DOWN)], name="m"), ScriptedModel(["Yes."], name="other")

    await observing(model, kept, Fallback(other), Retry(attempts=2, base=0)).run("Hello")

    asking = ["model_call_began", "model_call_ended"]
    assert kept.calls == [*asking, "call_retried", *asking, "model_replaced", *asking]
    assert [(it.began.model, it.status, it.error) for it in kept.of(ModelCallEnded)] == [
        ("m", "error", "ModelUnavailable"),
        ("m", "error", "ModelUnavailable"),
        ("other", "ok", ""),
    ]
    assert kept.of(ModelCallEnded)[2].cost is None  # nobody knows its price
    retried, replaced = kept.only(CallRetried), kept.only(ModelReplaced)
    assert (retried.call, retried.name, retried.attempt, retried.error) == ("model", "m", 2, "ModelUnavailable")
    assert (replaced.model, replaced.to, replaced.reason, replaced.error) == (
        "m",
        "other",
        "outage",
        "ModelUnavailable",
    )
    assert {notice.run for notice in (retried, replaced)} == {kept.of(ModelCallBegan)[0].run}


async def test_what_a_reader_of_the_run_is_told_they_are_told_still() -> None:
    kept = Kept()
    other = ScriptedModel(["Yes."], name="other")
    assistant = observing(ScriptedModel([Cut(after="No")], name="m"), kept, Fallback(other))

    async with assistant.stream("Hello") as run:
        kinds = [event.kind async for event in run]

    assert kinds == ["token", "text_retracted", "fell_back", "token", "complete"]
    assert kept.only(ModelReplaced).error == "ModelBroke"


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_given_up_inside_is_a_call_that_failed(loop: str) -> None:
    kept = Kept()
    timeouts = Timeouts(attempt=2.0)
    model = ScriptedModel([Delay(60.0, "late")], name="m")

    async def run() -> None:
        with pytest.raises(ModelTimeout):
            await observing(model, kept, inner=[timeouts]).run("Hello")

    in_virtual_time(loop, run)
    ended = kept.only(ModelCallEnded)
    assert (ended.status, ended.error, ended.seconds) == ("error", "ModelTimeout", 2.0)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_hedge_that_is_not_needed_any_more_is_cancelled(loop: str) -> None:
    kept = Kept()
    model = ScriptedModel([Delay(60.0, "late"), "soon"], name="m")

    async def run() -> None:
        await observing(model, kept, Hedge(after=1.0)).run("Hello")

    in_virtual_time(loop, run)
    assert sorted((it.status, it.error) for it in kept.of(ModelCallEnded)) == [("cancelled", ""), ("ok", "")]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_streamed_answer_tells_when_it_began(loop: str) -> None:
    kept = Kept()
    model = ScriptedModel([Delay(3.0, "It rains.")], name="m")

    async def run() -> None:
        async with observing(model, kept).stream("Rain?") as stream:
            await stream.result()

    in_virtual_time(loop, run)
    ended = kept.only(ModelCallEnded)
    assert (ended.began.streams, ended.first_token, ended.seconds) == (True, 3.0, 3.0)


async def test_a_run_that_is_left_ends_its_calls() -> None:
    kept = Kept()
    assistant = observing(ScriptedModel([Delay(3600.0, "late")], name="m"), kept)

    with anyio.move_on_after(0.05):
        await assistant.run("Hello")

    assert kept.calls == ["model_call_began", "model_call_ended"]
    assert (kept.only(ModelCallEnded).status, kept.only(ModelCallEnded).error) == ("cancelled", "")


class Odd(TimeoutError):
    """A failure with a name of its own."""


class _Hidden(Odd):
    """One that nobody knows by its name."""


@pytest.mark.parametrize(
    ("effect", "error", "outcome", "told"),
    [
        ("read", ToolError("no"), "error", "ToolError"),
        ("once", OutcomeUnknown("sent"), "unknown", "OutcomeUnknown"),
        ("read", Odd(), "error", "Odd"),
        ("once", _Hidden(), "unknown", "Odd"),
        ("once", ValueError("bad"), "error", "ValueError"),
        ("read", KeyboardInterrupt(), "cancelled", ""),
        ("once", KeyboardInterrupt(), "unknown", ""),
    ],
)
async def test_a_tool_call_tells_its_outcome(effect: Effect, error: BaseException, outcome: str, told: str) -> None:
    kept = Kept()

    async def make(_: Call) -> ToolOutput:
        raise error

    with pytest.raises(type(error)):
        await through(observed([], kept), Call(kind="tool", name="pay", effect=effect), make)

    ended = kept.only(ToolCallEnded)
    assert (ended.outcome, ended.error) == (outcome, told)


async def test_an_answer_that_reports_a_failure_is_one() -> None:
    kept = Kept()

    async def make(_: Call) -> ToolOutput:
        return ToolOutput(content=(), is_error=True)

    await through(observed([], kept), Call(kind="tool", name="pay"), make)

    assert (kept.only(ToolCallEnded).outcome, kept.only(ToolCallEnded).error) == ("error", "")


async def test_answers_of_another_kind_are_calls_as_well() -> None:
    kept = Kept(content=True)

    async def make(call: Call) -> str:
        return call.name

    for kind in ("model", "tool", "other"):
        assert await through(observed([], kept), Call(kind=kind, name="it"), make) == "it"

    assert (kept.only(ModelCallEnded).usage, kept.only(ModelCallEnded).messages) == (None, ())
    assert kept.only(ToolCallEnded).content == ()
    assert len(kept.notices) == 4


async def test_retries_of_other_functions_are_told_by_what_they_raised() -> None:
    kept = Kept()
    left = [ConnectionResetError("the text of a server")]

    async def fetch() -> str:
        if left:
            raise left.pop()
        return "data"

    await guarded(fetch, *observed([Retry(base=0)], kept), name="crm", effect="read")

    retried = kept.only(CallRetried)
    assert (retried.call, retried.name, retried.error) == ("other", "crm", "ConnectionResetError")


async def test_a_call_that_waits_and_a_state_that_changes_are_told() -> None:
    kept = Kept()
    free = anyio.Event()
    policies = observed([Bulkhead(1, queue=5), CircuitBreaker()], kept)

    async def wait() -> None:
        await free.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: guarded(wait, *policies, name="slow"))
            while not kept.of(CallDelayed):
                await anyio.lowlevel.checkpoint()
            free.set()

    delayed = kept.only(CallDelayed)
    assert (delayed.call, delayed.name, delayed.reason) == ("other", "slow", "queue")
    changes = [(it.change.name, it.change.before, it.change.after) for it in kept.of(ConditionNoted)]
    assert changes == [("bulkhead other:slow", "free", "waiting"), ("bulkhead other:slow", "waiting", "free")]


async def test_policies_that_observe_do_not_explain_themselves() -> None:
    assistant = Assistant(ScriptedModel([], name="m"), tools=[look], policies=observed([Retry()], Kept()))

    assert len((await assistant.explain()).splitlines()) == 2
    assert len((await assistant.explain("look")).splitlines()) == 2

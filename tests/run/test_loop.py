"""The run loop: ask, call, ask again, answer; within its limits."""

from dataclasses import dataclass

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import DeadlineExceeded, ModelRejected, ModelUnavailable, StepLimitExceeded
from assistant_kit.events import Event
from assistant_kit.messages import DeveloperMessage
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.policy import Call as PolicyCall
from assistant_kit.protocols.policy import Proceed, T
from assistant_kit.settings import ModelSettings, RunLimits, Settings
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Delay, Fail, Say, ScriptedModel
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage

pytestmark = pytest.mark.anyio

AT_ONCE = Retry(base=0.0)


@dataclass
class Person:
    name: str
    age: int


@tool(effect="read")
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def unavailable() -> ModelUnavailable:
    return ModelUnavailable("down", model="m", status=503)


async def test_steps_go_on_until_the_model_answers_and_usage_adds_up() -> None:
    used = Usage(requests=1, input_tokens=10, output_tokens=2)
    steps = [
        CallTools(Call("add", {"a": 1, "b": 2}), usage=used),
        CallTools(Call("add", {"a": 3, "b": 4}), usage=used),
        Say("10", usage=used),
    ]
    with ScriptedModel(steps) as model:
        result = await Assistant(model, tools=[add]).run("x")
    assert [call.text for call in result.tool_calls] == ["3", "7"]
    assert result.usage == Usage(requests=3, input_tokens=30, output_tokens=6)
    assert [len(request.items) for request in model.requests] == [1, 3, 5]


async def test_settings_reach_the_model() -> None:
    settings = Settings(model=ModelSettings(temperature=0.0))
    with ScriptedModel(["x"]) as model:
        await Assistant(model, settings=settings).run("x")
    assert model.requests[0].settings == settings.model


async def test_a_model_that_goes_in_circles_is_stopped() -> None:
    with ScriptedModel([CallTools(Call("add", {"a": 1, "b": 1}))] * 3) as model:
        assistant = Assistant(model, tools=[add], settings=Settings(limits=RunLimits(max_steps=3)))
        with pytest.raises(StepLimitExceeded) as caught:
            await assistant.run("x")
    assert caught.value.max_steps == 3


async def test_an_answer_that_was_cut_at_its_limit_says_so() -> None:
    with ScriptedModel([Say("half", finish="length")]) as model:
        result = await Assistant(model).run("x")
    assert (result.output, result.finish) == ("half", "length")


async def test_a_passing_failure_of_the_model_is_retried_and_told() -> None:
    events: list[Event] = []
    with ScriptedModel([Fail(unavailable()), "ok"]) as model:
        async with Assistant(model, policies=[AT_ONCE]).stream("x") as run:
            events = [event async for event in run]
    assert [event.kind for event in events] == ["retrying", "token", "complete"]


async def test_a_failure_after_the_first_delta_is_not_retried() -> None:
    with ScriptedModel([Cut(after="Hello wor", error=unavailable())]) as model:
        events: list[Event] = []
        with pytest.raises(ModelUnavailable):
            async with Assistant(model, policies=[AT_ONCE]).stream("x") as run:
                events.extend([event async for event in run])


async def test_without_policies_nothing_is_retried() -> None:
    with ScriptedModel([Fail(unavailable())]) as model, pytest.raises(ModelUnavailable):
        await Assistant(model, policies=[]).run("x")


async def test_policies_stand_around_each_other_in_order() -> None:
    seen: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        async def around(self, call: PolicyCall, proceed: Proceed[T]) -> T:
            seen.append(f"{self.name} in {call.kind}")
            try:
                return await proceed(call)
            finally:
                seen.append(f"{self.name} out")

    with ScriptedModel([Fail(unavailable()), "ok"]) as model:
        await Assistant(model, policies=[Noting("a"), AT_ONCE, Noting("b")]).run("x")
    assert seen == ["a in model", "b in model", "b out", "b in model", "b out", "a out"]


async def test_policies_stand_around_tool_calls_too() -> None:
    seen: list[tuple[str, str, object]] = []

    class Noting:
        async def around(self, call: PolicyCall, proceed: Proceed[T]) -> T:
            seen.append((call.kind, call.name, call.effect))
            return await proceed(call)

    with ScriptedModel([CallTools(Call("add", {"a": 1, "b": 2})), "3"]) as model:
        await Assistant(model, tools=[add], policies=[Noting()]).run("x")
    assert seen == [("model", "scripted", "read"), ("tool", "add", "read"), ("model", "scripted", "read")]


async def test_the_deadline_ends_a_run_and_says_during_what() -> None:
    with ScriptedModel([Delay(60, "late")]) as model, pytest.raises(DeadlineExceeded) as caught:
        await Assistant(model).run("x", timeout=0.01)
    assert caught.value.during == "a model call"


async def test_the_deadline_ends_a_run_during_its_tools() -> None:
    @tool
    async def wait() -> str:
        await anyio.sleep_forever()
        return ""

    with ScriptedModel([CallTools(Call("wait"))]) as model, pytest.raises(DeadlineExceeded) as caught:
        await Assistant(model, tools=[wait]).run("x", timeout=0.05)
    assert caught.value.during == "the tools wait"


async def test_a_failed_turn_is_recorded_as_failed_and_the_next_one_works() -> None:
    broke = ModelRejected("cut", model="m")
    with ScriptedModel([Fail(broke), "ok"]) as model:
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            with pytest.raises(ModelRejected):
                await chat.run("one")
            await chat.run("two")
            history = await chat.history()
    assert [(turn.outcome, turn.reason) for turn in history] == [("failed", str(broke)), ("completed", "")]


async def test_a_bug_in_a_model_leaves_as_itself_and_closes_the_turn() -> None:
    with ScriptedModel([Fail(KeyError("secret"))]) as model:
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            with pytest.raises(KeyError):
                await chat.run("one")
            (turn,) = await chat.history()
    assert turn.outcome == "failed"
    assert "secret" not in turn.reason


async def test_a_repair_tells_the_schema_to_a_model_whose_server_kept_it_back() -> None:
    with ScriptedModel(["Ada is 36.", '{"name": "Ada", "age": 36}']) as model:
        result = await Assistant(model, output_type=Person).run("Who?")
    assert result.output == Person("Ada", 36)
    repair = model.requests[1].items[-1]
    assert isinstance(repair, DeveloperMessage)
    assert '"required": ["name", "age"]' in repair.text

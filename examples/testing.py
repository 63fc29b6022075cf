"""How an application tests its assistant with a model that plays a script."""

# ruff: noqa: S101  (a test asserts)

import anyio
import pytest

from assistant_kit import Assistant, RunStream, tool
from assistant_kit.errors import ModelBroke
from assistant_kit.events import Event
from assistant_kit.messages import ToolAnswer
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Delay, Say, ScriptedModel, Step

pytestmark = pytest.mark.anyio


@tool(effect="read")
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"sunny in {city}"


async def test_the_answer_of_a_tool_reaches_the_model() -> None:
    with ScriptedModel([CallTools(Call("weather", {"city": "Oslo"})), Say("No umbrella needed.")]) as model:
        async with Assistant(model, tools=[weather]) as assistant:
            result = await assistant.run("Do I need an umbrella in Oslo?")
    assert result.output == "No umbrella needed."
    answer = model.requests[1].items[-1]
    assert isinstance(answer, ToolAnswer)
    assert answer.outcome == "ok"


async def test_a_model_that_breaks_off_is_an_error_after_the_text_so_far() -> None:
    events: list[Event] = []

    async def read(run: RunStream[str]) -> None:
        async for event in run:
            events.append(event)  # noqa: PERF401  (what comes before an error counts, too)

    with ScriptedModel([Cut(after="It will be")]) as model:
        async with Assistant(model) as assistant, assistant.stream("Rain tomorrow?") as run:
            with pytest.raises(ModelBroke):
                await read(run)
    assert "".join(event.text for event in events if event.kind == "token") == "It will be"


async def test_a_slow_model_is_left_when_its_reader_leaves() -> None:
    with ScriptedModel([Delay(3600.0, "too late")]) as model, anyio.move_on_after(0.05) as scope:
        async with Assistant(model) as assistant:
            await assistant.run("Hello?")
    assert scope.cancelled_caught


async def test_a_step_can_look_at_the_request() -> None:
    def polite(request: ModelRequest) -> Step:
        return "With pleasure." if "politely" in request.instructions else "No."

    with ScriptedModel([polite]) as model:
        async with Assistant(model, instructions="Answer politely.") as assistant:
            assert (await assistant.run("May I?")).output == "With pleasure."

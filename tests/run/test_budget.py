"""A run uses no more than its budget, over all attempts at it."""

from typing import Any

import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import BudgetExceeded, ConfigurationError
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.settings import ModelSettings, RunLimits, Settings, WindowSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage

pytestmark = pytest.mark.anyio
OWN = Prices({"scripted": ModelPrice(input=1_000, cached_input=100, output=10_000, date="2026-11-22", source="test")})
USED = Usage(requests=1, input_tokens=400, output_tokens=100)


@tool(effect="read")
def look() -> str:
    """Look."""
    return "seen"


def limited(model: ScriptedModel, **limits: Any) -> Assistant[str]:
    settings = Settings(limits=RunLimits(**limits), model=ModelSettings(max_output_tokens=200))
    return Assistant(model, tools=[look], store=MemoryStore(), settings=settings)


async def test_a_request_whose_worst_case_would_pass_the_budget_is_not_made() -> None:
    with ScriptedModel([CallTools(Call("look"), usage=USED)]) as model, pytest.raises(BudgetExceeded) as caught:
        await limited(model, max_tokens=700).run("x")
    assert (caught.value.unit, caught.value.used, caught.value.limit) == ("tokens", 500, 700)
    assert caught.value.needed > 200
    with ScriptedModel([CallTools(Call("look"), usage=USED), "done"]) as model:
        assert (await limited(model, max_tokens=1500).run("x")).output == "done"


async def test_money_is_counted_by_prices() -> None:
    worth = 400 * 1_000 + 100 * 10_000
    steps = [CallTools(Call("look"), usage=USED), Say("done", usage=USED)]
    with ScriptedModel(steps[:1]) as model, pytest.raises(BudgetExceeded) as caught:
        await limited(model, max_money=worth + 2_000_000, prices=OWN).run("x")
    assert (caught.value.unit, caught.value.used) == ("nanodollars", worth)
    with ScriptedModel(steps) as model:
        await limited(model, max_money=3 * worth, prices=OWN).run("x")


async def test_a_model_without_a_price_cannot_have_a_budget_of_money() -> None:
    with ScriptedModel([]) as model, pytest.raises(ConfigurationError):
        await limited(model, max_money=1_000_000_000).run("x")


async def test_tool_calls_are_counted_before_they_are_made() -> None:
    made: list[int] = []

    @tool(effect="read")
    def count() -> str:
        """Count."""
        made.append(1)
        return "counted"

    model = ScriptedModel([CallTools(Call("count"), Call("count")), CallTools(Call("count"), Call("count"))])
    settings = Settings(limits=RunLimits(max_tool_calls=3))
    with model, pytest.raises(BudgetExceeded) as caught:
        await Assistant(model, tools=[count], settings=settings).run("x")
    assert (caught.value.unit, caught.value.needed, caught.value.used, len(made)) == ("tool calls", 2, 2, 2)


async def test_what_was_used_before_a_pause_counts() -> None:
    @tool(needs_approval=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    model = ScriptedModel([CallTools(Call("pay"), usage=USED)])
    limits = RunLimits(max_tokens=700)
    settings = Settings(limits=limits, model=ModelSettings(max_output_tokens=200), window=WindowSettings())
    assistant = Assistant(model, tools=[pay], store=MemoryStore(), settings=settings)
    waiting = await assistant.run("x", user="u", conversation="c")
    conversation = assistant.conversation("c", user="u")
    await conversation.approve(waiting.tool_calls[0].call_id)
    with pytest.raises(BudgetExceeded) as caught:
        await conversation.resume()
    assert caught.value.used == 500
    (turn,) = await conversation.history()
    assert (turn.outcome, turn.tool_calls[0].outcome) == ("failed", "ok")


@pytest.mark.parametrize("name", ["max_tokens", "max_money", "max_tool_calls"])
def test_a_budget_is_not_negative(name: str) -> None:
    limits: dict[str, Any] = {name: -1}
    with pytest.raises(ConfigurationError):
        RunLimits(**limits)

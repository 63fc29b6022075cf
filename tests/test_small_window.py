"""A window of 4,000 tokens is a first-class case: forty tools, long results, a long conversation, and a memory."""

from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.context import Context
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.messages import UserMessage, text_of
from assistant_kit.request_tokens import request_tokens
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel, Step
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.tool_spec import ToolSpec
from tests.journals import check_well_formed

pytestmark = pytest.mark.anyio

THINGS = (
    "invoice",
    "payment",
    "shipment",
    "customer",
    "ticket",
    "calendar",
    "meeting",
    "contract",
    "salary",
    "holiday",
    "weather",
    "train",
    "hotel",
    "flight",
    "restaurant",
    "recipe",
    "song",
    "film",
    "book",
    "photo",
    "translation",
    "currency",
    "stock",
    "tax",
    "insurance",
    "doctor",
    "pharmacy",
    "parcel",
    "printer",
    "password",
    "backup",
    "server",
    "database",
    "domain",
    "certificate",
    "survey",
    "newsletter",
    "discount",
    "warranty",
    "refund",
)


def tool_for(thing: str) -> Any:
    def function(number: int, note: str = "", urgent: bool = False, tags: list[str] | None = None) -> str:  # noqa: FBT001, FBT002
        return f"{thing} {number} {note} {urgent} {tags}: " + "and so on, line by line, " * 600

    function.__name__ = f"find_{thing}"
    function.__doc__ = f"Find one {thing} by its number, with everything that is known about this {thing}. " * 4
    return function


async def test_forty_tools_long_results_and_a_long_talk_fit_into_four_thousand_tokens() -> None:
    counter = TiktokenCounter()
    memory = IndexMemory(MemoryIndex(), HashingEmbedder())
    for thing in THINGS[:20]:
        await memory.for_user("ann").remember(f"Ann asked about a {thing} last week, and wants to hear more about it.")
    steps: list[Step] = []
    for number in range(24):
        thing = THINGS[number]
        steps += [CallTools(Call(f"find_{thing}", {"number": number})), Say(f"The {thing} is on its way. " * 12)]
    model = ScriptedModel(steps)
    assistant = Assistant(
        model,
        instructions="Answer briefly and kindly.",
        tools=[tool_for(thing) for thing in THINGS],
        store=MemoryStore(),
        settings=Settings(window=WindowSettings(max_tokens=4_000, reserved_output=500)),
        context=Context(token_counter=counter, memory=memory),
    )
    with anyio.fail_after(60):
        for number in range(24):
            message = f"What do you know about my {THINGS[number]} number {number}?"
            result = await assistant.run(message, user="ann", conversation="c")
            assert result.tool_calls[0].outcome == "ok"
    for number, request in enumerate(model.requests):
        assert request_tokens(request, counter) <= 3_500
        check_well_formed(request.items)
        offered = {tool.name for tool in request.tools if isinstance(tool, ToolSpec)}
        assert f"find_{THINGS[number // 2]}" in offered
        said = [text_of(item.content) for item in request.items if isinstance(item, UserMessage)]
        assert said[-1].startswith("What do you know")
    assert any(len(request.items) > 8 for request in model.requests)

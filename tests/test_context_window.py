"""What fits into a request."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.calibration import Calibration
from assistant_kit.context import Context
from assistant_kit.context_window import MOST_TOOLS, Window
from assistant_kit.conversation import measure, turns_of
from assistant_kit.entries import ModelResponded, ToolFinished, TurnStarted
from assistant_kit.errors import CannotFit
from assistant_kit.messages import AssistantMessage, Item, Text, ToolCall, UserMessage, user_message
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import tool_tokens
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Say, ScriptedModel
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool, ToolSpec
from assistant_kit.turns import Block, Turn
from assistant_kit.usage import Usage
from assistant_kit.view import View, view_of
from tests.journals import Journal, check_well_formed, journals

COUNTER = UpperBound()
WEATHER = ToolSpec(name="weather", description="Today's weather.", parameters={"type": "object", "properties": {}})
SEARCH = HostedTool(declaration={"type": "web_search"})
SCHEMA = OutputSchema(name="city", schema={"type": "object"})


class Changing:
    """A counter that changes its rule, as one does whose vocabulary arrives, and that counts how often it is asked."""

    def __init__(self) -> None:
        self.rule: TokenCounter = UpperBound()
        self.asked = 0

    @property
    def name(self) -> str:
        return self.rule.name

    def count(self, text: str) -> int:
        self.asked += 1
        return self.rule.count(text)


def window(budget: int, counter: TokenCounter = COUNTER) -> Window:
    return Window(WindowSettings(max_tokens=budget + 10, reserved_output=10), counter)


def turn(name: str, *answers: str) -> Turn:
    """A turn of 4 + 2 tokens and 6 more for each answer beside its text."""
    entries = [measure(TurnStarted(turn=name, input=user_message(2 * name[0])), COUNTER)]
    for step, text in enumerate(answers):
        items = (AssistantMessage(text=text),)
        entries.append(measure(ModelResponded(turn=name, step=step, model="m", items=items, usage=Usage()), COUNTER))
    return turns_of(entries, COUNTER)[0]


def calling(*results: tuple[str, int]) -> Turn:
    """A turn that called tools, with results of so many bytes and one."""
    calls = tuple(ToolCall(call_id=str(n), name=name, arguments="") for n, (name, _) in enumerate(results))
    entries = [
        TurnStarted(turn="now", input=user_message("nn")),
        ModelResponded(turn="now", step=0, model="m", items=calls, usage=Usage()),
        *(
            ToolFinished(
                turn="now",
                key=f"0.{n}",
                call_id=str(n),
                tool=name,
                outcome="ok",
                content=(Text(text="x" * (size + 1)),),
            )
            for n, (name, size) in enumerate(results)
        ),
    ]
    return turns_of([measure(entry, COUNTER) for entry in entries], COUNTER)[0]


def items_of(turns: Sequence[Turn]) -> tuple[Item, ...]:
    return tuple(item for each in turns for block in each.blocks for item in block.items)


HISTORY = [turn("a", "one"), turn("b", "two"), turn("c", "three")]
NOW = turn("n")
SEEN = view_of(HISTORY, COUNTER)


def test_a_request_is_what_is_shown_of_the_conversation_and_then_the_turn_in_progress() -> None:
    packed = window(1_000).pack({"the instructions": 20}, SEEN, NOW)
    assert packed.items == items_of([*HISTORY, NOW])
    assert packed.tokens == 20 + sum(each.tokens for each in (*HISTORY, NOW))


def test_a_request_may_take_its_budget_to_the_token_and_no_more() -> None:
    needed = SEEN.tokens + NOW.tokens
    assert window(needed).pack({}, SEEN, NOW).tokens == needed
    with pytest.raises(CannotFit):
        window(needed - 1).pack({}, SEEN, NOW)


def test_room_is_what_the_overhead_leaves() -> None:
    assert window(60).room({"the instructions": 20, "the tool schemas": 10}) == 30


def test_a_server_that_counts_more_leaves_less() -> None:
    calibration = Calibration(trusted=True)
    packing = Window(WindowSettings(max_tokens=1_000, reserved_output=0), COUNTER, calibration)
    assert packing.budget == 1_000
    calibration.overflowed(900, limit=1_000)
    assert packing.budget < 900


@pytest.mark.parametrize(
    ("budget", "overhead", "current", "part", "needed", "available"),
    [
        (9, {"the instructions": 10}, NOW, "the instructions", 10, 9),
        (19, {"the instructions": 10, "the tool schemas": 10}, NOW, "the tool schemas", 10, 9),
        (21, {"the instructions": 10, "the tool schemas": 10, "the output schema": 9}, NOW, "the output schema", 9, 1),
        (15, {"the instructions": 10}, NOW, "the user message", 6, 5),
        (3, {"the instructions": 3}, NOW, "the user message", 6, 0),
        # 6 for the message, 15 for each call, 13 for each result and its bytes
        (100, {}, calling(("t", 90)), "the result of tool t", 103, 100 - 6 - 15),
        (200, {}, calling(("t", 90), ("u", 100)), "the result of tool u", 113, 200 - 6 - 30 - 103),
        (100, {}, calling(("t", 90), ("u", 100)), "the result of tool u", 113, 100 - 6),
        (90, {}, calling(("t", 10), ("u", 10), ("v", 10)), "the current turn", 120, 90),
        (50, {}, turn("n", "x" * 90), "the current turn", 102, 50),
    ],
)
def test_what_does_not_fit_is_named(
    budget: int, overhead: dict[str, int], current: Turn, part: str, needed: int, available: int
) -> None:
    with pytest.raises(CannotFit) as caught:
        window(budget).pack(overhead, View(), current)
    assert (caught.value.part, caught.value.needed, caught.value.available) == (part, needed, available)


def test_a_turn_without_its_front_is_named_as_a_whole() -> None:
    cut = Turn(turn="n", blocks=(Block(items=(), tokens=90),), tokens=90)
    with pytest.raises(CannotFit) as caught:
        window(50).pack({}, View(), cut)
    assert (caught.value.part, caught.value.needed, caught.value.available) == ("the current turn", 90, 50)


def test_the_overhead_names_its_parts() -> None:
    parts = window(1).overhead("Be brief.", [WEATHER, SEARCH], SCHEMA)
    assert dict(parts) == {
        "the instructions": 5 + 4 + len("Be brief."),
        "the tool schemas": 14 + tool_tokens(WEATHER, COUNTER) + 500 + len('{"type":"web_search"}'),
        "the output schema": 9 + len("city") + len('{"type":"object"}'),
    }


def test_what_is_not_there_has_no_part() -> None:
    assert dict(window(1).overhead()) == {"the instructions": 5}


def test_tools_and_instructions_are_counted_once() -> None:
    counter = Changing()
    packing = window(1, counter)
    first = packing.overhead("Be brief.", [WEATHER, SEARCH])
    asked = counter.asked
    assert packing.overhead("Be brief.", (SEARCH, WEATHER)) == first
    assert packing.overhead("Be brief.", (WEATHER,)) != first
    assert packing.overhead("Be brief.", (SEARCH, WEATHER)) == first
    assert packing.tokens_of(WEATHER) == tool_tokens(WEATHER, COUNTER)
    assert counter.asked == asked
    packing.overhead("Be long.", [replace(WEATHER)])
    assert counter.asked == asked + 2


def test_a_schema_is_counted_once() -> None:
    counter = Changing()
    packing = window(1, counter)
    first = packing.overhead(output=SCHEMA)
    asked = counter.asked
    assert packing.overhead(output=SCHEMA) == first
    assert counter.asked == asked
    assert packing.overhead(output=replace(SCHEMA, name="cities")) != first


def test_the_counts_of_tools_that_come_and_go_do_not_grow_without_end() -> None:
    counter = Changing()
    packing = window(1, counter)
    tools = [replace(WEATHER) for _ in range(MOST_TOOLS + 1)]
    packing.overhead(tools=tools)
    packing.tokens_of(tools[-1])
    assert counter.asked == MOST_TOOLS + 1
    packing.tokens_of(tools[0])
    assert counter.asked == MOST_TOOLS + 2


def test_what_was_counted_by_a_bound_is_counted_again_when_the_vocabulary_is_there() -> None:
    counter = Changing()
    packing = window(1, counter)
    bound = packing.overhead("Be brief.", [WEATHER])
    counter.rule = TiktokenCounter()
    exact = packing.overhead("Be brief.", [WEATHER])
    assert all(exact[part] < bound[part] for part in bound)


@given(journal=journals(), budget=st.one_of(st.integers(1, 3_000), st.sampled_from([4_000, 100_000])))
def test_a_request_is_within_its_budget_and_whole_or_there_is_none(journal: Journal, budget: int) -> None:
    turns = turns_of(journal.entries, COUNTER)
    if not turns:
        return
    view, current = view_of(turns[:-1], COUNTER), turns[-1]
    needed = 23 + view.tokens + current.tokens
    if needed > budget:
        with pytest.raises(CannotFit) as caught:
            window(budget).pack({"the instructions": 23}, view, current)
        assert caught.value.needed > caught.value.available
        return
    packed = window(budget).pack({"the instructions": 23}, view, current)
    assert packed.tokens == needed
    assert current.started is not None
    assert sum(item is current.started.input for item in packed.items) == 1
    check_well_formed(packed.items)


@pytest.mark.anyio
async def test_a_long_conversation_goes_on_with_its_newest_turns() -> None:
    model = ScriptedModel([Say("word " * 400) for _ in range(12)])
    # --8<-- [start:settings]
    settings = Settings(window=WindowSettings(max_tokens=4_000, reserved_output=1_000))
    assistant = Assistant(model, store=MemoryStore(), settings=settings)
    # --8<-- [end:settings]
    with anyio.fail_after(30):
        async with assistant:
            for number in range(12):
                await assistant.run(f"question {number}", user="ada", conversation="c1")
    last = model.requests[-1].items
    assert 1 < len(last) < 23
    assert last[-1] == user_message("question 11")
    assert isinstance(last[0], UserMessage)


@pytest.mark.anyio
async def test_a_message_that_is_too_long_is_named_before_anything_is_sent() -> None:
    model = ScriptedModel([])
    settings = Settings(window=WindowSettings(max_tokens=4_000, reserved_output=1_000))
    text = "word " * 20_000
    found = ""
    with anyio.fail_after(30):
        # --8<-- [start:cannot-fit]
        async with Assistant(model, settings=settings) as assistant:
            try:
                await assistant.run(text)
            except CannotFit as error:
                found = f"{error.part}: {error.needed} tokens where {error.available} are left"
        # --8<-- [end:cannot-fit]
    assert found.startswith("the user message: ")


def test_a_counter_is_given_to_an_assistant() -> None:
    # --8<-- [start:counter]
    assistant = Assistant("openai:gpt-5.6-luna", context=Context(token_counter=TiktokenCounter("o200k_base")))
    # --8<-- [end:counter]
    assert isinstance(assistant, Assistant)

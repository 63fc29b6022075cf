"""What fits into a request."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.context_window import Packed, Window
from assistant_kit.conversation import Block, Turn, extended, measure, turns_of
from assistant_kit.entries import Measured, ModelResponded, ToolFinished, TurnStarted
from assistant_kit.errors import CannotFit
from assistant_kit.messages import AssistantMessage, Item, Text, ToolCall, UserMessage, user_message
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool, ToolSpec
from assistant_kit.usage import Usage
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


HISTORY = [turn("a", "one"), turn("b", "two"), turn("c", "three")]  # 15, 15 and 17 tokens
NOW = turn("n")  # 6 tokens


def test_the_newest_whole_turns_are_kept_in_their_order() -> None:
    packed = window(6 + 17 + 15 + 14).pack({}, HISTORY, NOW)
    assert packed == Packed(items=items_of([*HISTORY[1:], NOW]), tokens=38, kept_turns=2, dropped_turns=1)


def test_everything_is_kept_when_it_fits_to_the_token() -> None:
    assert window(53).pack({}, HISTORY, NOW).dropped_turns == 0
    assert window(52).pack({}, HISTORY, NOW).dropped_turns == 1


def test_a_large_turn_is_not_skipped_for_an_older_small_one() -> None:
    packed = window(100).pack({}, [turn("a"), turn("b", "x" * 200), turn("c")], NOW)
    assert packed.items == items_of([turn("c"), NOW])


def test_the_overhead_counts() -> None:
    packed = window(60).pack({"the instructions": 20, "the tool schemas": 10}, HISTORY, NOW)
    assert (packed.tokens, packed.kept_turns) == (20 + 10 + 6 + 17, 1)


def test_a_later_step_keeps_the_history_of_the_first_and_drops_more_only_when_it_must() -> None:
    packing = window(60)
    first = packing.pack({}, HISTORY, turn("n", "x" * 17))
    assert first.kept_turns == 1  # 29 + 17 = 46, and 15 more are 61
    smaller = packing.pack({}, HISTORY, NOW, earlier=first)
    assert smaller.kept_turns == 1
    larger = packing.pack({}, HISTORY, turn("n", "x" * 16, "y" * 16), earlier=first)
    assert larger.kept_turns == 0


def test_a_history_that_has_become_shorter_is_no_trouble() -> None:
    packing = window(60)
    first = packing.pack({}, HISTORY, NOW)
    assert packing.pack({}, HISTORY[2:], NOW, earlier=first).kept_turns == 1


@pytest.mark.parametrize(
    ("budget", "overhead", "current", "part", "needed", "available"),
    [
        (9, {"the instructions": 10}, NOW, "the instructions", 10, 9),
        (19, {"the instructions": 10, "the tool schemas": 10}, NOW, "the tool schemas", 10, 9),
        (21, {"the instructions": 10, "the tool schemas": 10, "the output schema": 9}, NOW, "the output schema", 9, 1),
        (15, {"the instructions": 10}, NOW, "the user message", 6, 5),
        (-3, {}, NOW, "the user message", 6, 0),
        (-3, {"the instructions": 3}, NOW, "the instructions", 3, 0),
        # 6 for the message, 17 for each call, 18 for each result and its bytes
        (100, {}, calling(("t", 90)), "the result of tool t", 108, 100 - 6 - 17),
        (200, {}, calling(("t", 90), ("u", 100)), "the result of tool u", 118, 200 - 6 - 34 - 108),
        (100, {}, calling(("t", 90), ("u", 100)), "the result of tool u", 118, 100 - 6),
        (90, {}, calling(("t", 10), ("u", 10), ("v", 10)), "the current turn", 141, 90),
        (50, {}, turn("n", "x" * 90), "the current turn", 102, 50),
    ],
)
def test_what_does_not_fit_is_named(
    budget: int, overhead: dict[str, int], current: Turn, part: str, needed: int, available: int
) -> None:
    with pytest.raises(CannotFit) as caught:
        window(budget).pack(overhead, HISTORY, current)
    assert (caught.value.part, caught.value.needed, caught.value.available) == (part, needed, available)


def test_a_turn_without_its_front_is_named_as_a_whole() -> None:
    cut = Turn(turn="n", blocks=(Block(items=(), tokens=90),), tokens=90)
    with pytest.raises(CannotFit) as caught:
        window(50).pack({}, HISTORY, cut)
    assert (caught.value.part, caught.value.needed, caught.value.available) == ("the current turn", 90, 50)


def test_the_overhead_names_its_parts() -> None:
    parts = window(0).overhead("Be brief.", [WEATHER, SEARCH], SCHEMA)
    schema = '{"type":"object"}'
    tool = '{"type":"function","name":"weather","description":"Today\'s weather.","parameters":%s}'
    assert dict(parts) == {
        "the instructions": 3 + 4 + len("Be brief."),
        "the tool schemas": 20
        + 8
        + len(tool % '{"type":"object","properties":{}}')
        + 500
        + len('{"type":"web_search"}'),
        "the output schema": 24 + len("city") + len(schema),
    }


def test_what_is_not_there_has_no_part() -> None:
    assert dict(window(0).overhead()) == {"the instructions": 3}


def test_tools_and_instructions_are_counted_once() -> None:
    counter = Changing()
    packing = window(0, counter)
    first = packing.overhead("Be brief.", [WEATHER, SEARCH])
    asked = counter.asked
    assert packing.overhead("Be brief.", (SEARCH, WEATHER)) == first
    assert counter.asked == asked
    packing.overhead("Be long.", [replace(WEATHER)])
    assert counter.asked == asked + 2


def test_what_was_counted_by_a_bound_is_counted_again_when_the_vocabulary_is_there() -> None:
    counter = Changing()
    packing = window(0, counter)
    bound = packing.overhead("Be brief.", [WEATHER])
    counter.rule = TiktokenCounter()
    exact = packing.overhead("Be brief.", [WEATHER])
    assert all(exact[part] < bound[part] for part in bound)


def packable(journal: Journal, budget: int) -> tuple[Window, dict[str, int], Sequence[Turn], Turn] | None:
    """Return the parts of a request whose newest turn is the current one; None when there is none."""
    turns = turns_of(journal.entries, COUNTER)
    return (window(budget), {"the instructions": 23}, turns[:-1], turns[-1]) if turns else None


@given(journal=journals(), budget=st.one_of(st.integers(0, 3_000), st.sampled_from([4_000, 100_000])))
def test_a_request_is_within_its_budget_and_whole_or_there_is_none(journal: Journal, budget: int) -> None:
    request = packable(journal, budget)
    if request is None:
        return
    packing, overhead, history, current = request
    if current.tokens + 23 > budget:
        with pytest.raises(CannotFit) as caught:
            packing.pack(overhead, history, current)
        assert caught.value.needed > caught.value.available
        return
    packed = packing.pack(overhead, history, current)
    kept = history[len(history) - packed.kept_turns :]
    assert packed.tokens <= budget
    assert packed.tokens == 23 + current.tokens + sum(each.tokens for each in kept)
    assert packed.items == items_of([*kept, current])
    assert packed.kept_turns + packed.dropped_turns == len(history)
    assert current.started is not None
    assert sum(item is current.started.input for item in packed.items) == 1
    check_well_formed(packed.items)
    if packed.dropped_turns:
        assert packed.tokens + history[packed.dropped_turns - 1].tokens > budget


@given(journal=journals(), budget=st.integers(100, 3_000))
def test_packing_again_gives_the_same(journal: Journal, budget: int) -> None:
    request = packable(journal, budget)
    if request is None or request[-1].tokens + 23 > budget:
        return
    packing, overhead, history, current = request
    packed = packing.pack(overhead, history, current)
    assert packing.pack(overhead, history, current) == packed
    assert packing.pack(overhead, history, current, earlier=packed) == packed
    again = packing.pack(overhead, history[packed.dropped_turns :], current)
    assert (again.items, again.tokens) == (packed.items, packed.tokens)


@given(journal=journals(), budget=st.integers(100, 3_000))
def test_the_requests_of_a_run_share_their_front_until_more_must_be_dropped(journal: Journal, budget: int) -> None:
    request = packable(journal, budget)
    if request is None:
        return
    packing, overhead, history, current = request
    entries = [measured for measured in journal.entries if measured.entry.turn == current.turn]
    packed: Packed | None = None
    for step in _steps(entries):
        current = extended(Turn(turn=current.turn) if packed is None else current, step, COUNTER)
        if current.tokens + 23 > budget:
            return
        before, packed = packed, packing.pack(overhead, history, current, earlier=packed)
        if before is not None and packed.kept_turns == before.kept_turns:
            assert packed.items[: len(before.items)] == before.items
        elif before is not None:
            needed = current.tokens + 23 + sum(each.tokens for each in history[before.dropped_turns :])
            assert packed.kept_turns < before.kept_turns
            assert needed > budget


def _steps(entries: Sequence[Measured]) -> list[list[Measured]]:
    """Part the entries of a turn where its requests were made: before each answer of the model."""
    steps: list[list[Measured]] = [[]]
    for measured in entries:
        if isinstance(measured.entry, ModelResponded):
            steps.append([])
        steps[-1].append(measured)
    return steps


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
async def test_a_result_that_is_too_large_is_named_by_its_tool() -> None:
    def report() -> str:
        """Everything we know."""
        return "word " * 20_000

    model = ScriptedModel([CallTools(Call("report"))])
    settings = Settings(window=WindowSettings(max_tokens=4_000, reserved_output=1_000))
    found = ""
    with anyio.fail_after(30):
        # --8<-- [start:cannot-fit]
        async with Assistant(model, tools=[report], settings=settings) as assistant:
            try:
                await assistant.run("What do we know?")
            except CannotFit as error:
                found = f"{error.part}: {error.needed} tokens where {error.available} are left"
        # --8<-- [end:cannot-fit]
    assert found.startswith("the result of tool report: ")


def test_a_counter_is_given_to_an_assistant() -> None:
    # --8<-- [start:counter]
    assistant = Assistant("openai:gpt-5.6-luna", token_counter=TiktokenCounter("o200k_base"))
    # --8<-- [end:counter]
    assert isinstance(assistant, Assistant)

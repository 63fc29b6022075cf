"""Whatever items come, in whatever order: they are given back as they came, and the journal is one of this library."""

from functools import partial
from typing import Any, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.conversation import turns_of
from assistant_kit.errors import InputError
from assistant_kit.integrations.openai_agents import StoreSession
from assistant_kit.integrations.openai_agents.writing import BY_ITSELF
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import File, Image, Text, ToolAnswer, ToolCall
from assistant_kit.run.history import HistoryTurn
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.integrations.openai_agents.items import (
    ITEMS,
    PIECES,
    TEXTS,
    Item,
    call,
    message,
    of_chat,
    reasoning,
    result,
    user,
)
from tests.integrations.openai_agents.session_cases import added, problems

pytestmark = pytest.mark.anyio
BATCHES = st.lists(st.lists(ITEMS, min_size=1, max_size=5), max_size=5)


def opened(store: MemoryStore, **options: Any) -> StoreSession:
    return StoreSession(store, user="u1", conversation="c1", **options)


async def told(store: MemoryStore) -> list[HistoryTurn]:
    return list(await JournalReader(store.for_user("u1"), "c1").turns())


@settings(max_examples=40)
@given(BATCHES, st.integers(0, 8))
def test_any_items_come_back_as_they_were_added(batches: list[list[Item]], popped: int) -> None:
    anyio.run(partial(_any_items, batches, popped))


async def _any_items(batches: list[list[Item]], popped: int) -> None:
    store = MemoryStore()
    expected: list[Item] = []
    for batch in batches:
        await added(opened(store), *batch)
        expected += batch
        assert await opened(store).get_items() == expected
    for _ in range(popped):
        item = await opened(store).pop_item()
        assert item == (expected.pop() if expected else None)
        assert await opened(store).get_items() == expected
        assert await opened(store).get_items(2) == expected[-2:]
    if batches:
        assert await problems(store, opened(store)) == []
        await _answers_follow_calls(store)
        await added(opened(store), user("go on"), message("yes"))
        assert (await told(store))[-1].text == "yes"
        assert await problems(store, opened(store)) == []


async def _answers_follow_calls(store: MemoryStore) -> None:
    """In what a model of this library reads, each call is answered once, in the block that asks for it."""
    entries = await JournalReader(store.for_user("u1"), "c1").read()
    for turn in turns_of(entries, UpperBound()):
        for block in turn.blocks:
            calls = [item.call_id for item in block.items if isinstance(item, ToolCall)]
            assert [item.call_id for item in block.items if isinstance(item, ToolAnswer)] == calls


RUNS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3), TEXTS), max_size=5)


@settings(max_examples=30)
@given(RUNS, st.integers(0, 600), st.integers(0, 600))
def test_a_window_has_whole_turns_within_its_budget(
    runs: list[tuple[str, list[str], str]], max_tokens: int, more: int
) -> None:
    anyio.run(partial(_window, runs, max_tokens, more))


async def _window(runs: list[tuple[str, list[str], str]], max_tokens: int, more: int) -> None:
    store = MemoryStore()
    turns: list[list[Item]] = []
    for number, (asked, outputs, said) in enumerate(runs):
        names = [f"call_{number}_{index}" for index in range(len(outputs))]
        results = [result(name, output) for name, output in zip(names, outputs, strict=True)]
        turns.append([user(asked), *map(call, names), *results, message(said, number)])
        await added(opened(store), *turns[-1])
    shown = await opened(store, max_tokens=max_tokens).get_items()
    whole = [[item for turn in turns[place:] for item in turn] for place in range(len(turns) + 1)]
    assert shown in whole
    said = [item.get("output") or item.get("arguments") or _text(item) for item in cast("list[Item]", shown)]
    assert sum(len(str(text).encode()) for text in said) <= max_tokens
    assert len(await opened(store, max_tokens=max_tokens + more).get_items()) >= len(shown)


def _text(item: Item) -> str:
    content = item.get("content") or ""
    return content if isinstance(content, str) else content[0]["text"]


async def test_a_window_leaves_a_late_result_out_with_its_call() -> None:
    store = MemoryStore()
    await added(opened(store), user("a" * 200), call("call_1"), call("call_2"))
    await added(opened(store), user("two"), message("yes"))
    late = [result("call_1"), result("call_2", [{"type": "input_image", "file_id": "file_1"}])]
    await added(opened(store), *late, message("that was late"))
    shown = await opened(store, max_tokens=300).get_items()
    assert shown == [user("two"), message("yes"), message("that was late")]
    assert (await opened(store, max_tokens=5000).get_items())[-3:] == [*late, message("that was late")]


@pytest.mark.parametrize(
    ("max_tokens", "first"), [(0, 3), (150, 2), (10_000, 0)], ids=["nothing fits", "one turn fits", "all fits"]
)
async def test_a_window_leaves_out_the_oldest_turns(max_tokens: int, first: int) -> None:
    store = MemoryStore()
    turns = [
        [user("a" * 200), call(), result(), message("one")],
        [user("b" * 200), message("two")],
        [user("c"), {"role": "system", "content": "Be brief."}, call("call_2"), result("call_2"), message("three")],
    ]
    for turn in turns:
        await added(opened(store), *turn)
    shown = await opened(store, max_tokens=max_tokens).get_items()
    assert shown == [item for turn in turns[first:] for item in turn]


async def test_a_window_counts_what_no_entry_stands_for() -> None:
    store = MemoryStore()
    await added(opened(store), user("hello"), {"role": "system", "content": "x" * 1000}, message("yes"))
    assert await opened(store, max_tokens=500).get_items() == []
    assert len(await opened(store, max_tokens=2000).get_items()) == 3


async def test_a_limit_goes_before_a_window() -> None:
    store = MemoryStore()
    await added(opened(store), user("hello"), message("yes"))
    assert await opened(store, max_tokens=0).get_items(1) == [message("yes")]


def test_a_window_is_not_negative() -> None:
    with pytest.raises(InputError):
        opened(MemoryStore(), max_tokens=-1)


@pytest.mark.parametrize(
    "bad", ["text", 1, None, {"role": "user", "content": object()}, {"role": "user", "content": "\ud800"}]
)
async def test_what_cannot_be_kept_is_refused_whole(bad: Any) -> None:
    store = MemoryStore()
    with pytest.raises(InputError):
        await added(opened(store), user("hello"), bad)
    assert await opened(store).get_items() == []


async def test_what_is_added_and_what_is_returned_are_apart() -> None:
    store = MemoryStore()
    item = {"role": "user", "content": [{"type": "input_text", "text": "one"}]}
    await added(opened(store), item)
    item["content"] = "changed"
    returned = cast("list[Any]", await opened(store).get_items())
    assert returned == [{"role": "user", "content": [{"type": "input_text", "text": "one"}]}]
    returned[0]["content"] = "changed"
    assert await opened(store).get_items() != returned


async def test_the_order_of_fields_is_kept() -> None:
    store = MemoryStore()
    items = [{"role": "user", "content": "hello", "extra": 1}, {**message("yes"), "z": 1, "a": 2}]
    await added(opened(store), *items)
    assert [list(item) for item in await opened(store).get_items()] == [list(item) for item in items]


async def test_a_run_is_a_turn() -> None:
    store = MemoryStore()
    for batch in ([user("Weather?")], [reasoning(), call(), result(output="sunny")], [message("It is sunny.")]):
        await added(opened(store), *batch)
    [turn] = await told(store)
    assert (turn.input, turn.text, turn.outcome) == ("Weather?", "It is sunny.", "completed")
    assert [(done.tool, done.arguments, done.outcome, done.text) for done in turn.tool_calls] == [
        ("weather", '{"city":"Oslo"}', "ok", "sunny")
    ]


async def test_a_run_that_broke_off_ends_with_the_next_message() -> None:
    store = MemoryStore()
    await added(opened(store), user("one"))
    await added(opened(store), call(), user("two"), message("yes"))
    first, second = await told(store)
    assert (first.outcome, second.outcome) == ("cancelled", "completed")
    assert [done.outcome for done in first.tool_calls] == ["unknown"]


async def test_a_result_that_comes_later_belongs_to_its_call() -> None:
    store = MemoryStore()
    await added(opened(store), user("one"), call())
    await added(opened(store), user("two"), message("yes"))
    await added(opened(store), result(output="late"))
    first, _ = await told(store)
    assert [(done.outcome, done.text) for done in first.tool_calls] == [("ok", "late")]
    assert (await opened(store).get_items())[-1] == result(output="late")
    assert await problems(store, opened(store)) == []


async def test_a_late_result_keeps_its_place_behind_one_that_belongs_to_no_call() -> None:
    store = MemoryStore()
    await added(opened(store), user("one"), call())
    await added(opened(store), user("two"), message("yes"))
    late = [result("call_2"), result("call_1")]
    await added(opened(store), *late)
    assert (await opened(store).get_items())[-2:] == late
    assert (await told(store))[0].tool_calls[0].outcome == "ok"


async def test_a_model_reads_a_result_that_came_after_the_next_answer() -> None:
    store = MemoryStore()
    await added(opened(store), user("one"), call())
    await added(opened(store), message("wait"), result(output="late"), message("done"))
    turn = turns_of(await JournalReader(store.for_user("u1"), "c1").read(), UpperBound())[0]
    answers = [item for block in turn.blocks for item in block.items if isinstance(item, ToolAnswer)]
    assert [answer.content for answer in answers] == [(Text(text="late"),)]


async def test_a_message_that_nobody_asked_for_is_a_turn_of_its_own() -> None:
    store = MemoryStore()
    await added(opened(store), message("How can I help?"))
    [turn] = await told(store)
    assert (turn.input, turn.text, turn.outcome) == (BY_ITSELF, "How can I help?", "completed")
    await opened(store).pop_item()
    assert await told(store) == []


async def test_a_system_message_alone_is_shown_to_no_model() -> None:
    store = MemoryStore()
    await added(opened(store), {"role": "system", "content": "Be brief."})
    [turn] = await told(store)
    assert turn.outcome == "failed"


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_an_id_that_no_provider_takes_back_is_not_sent_to_one(wire: str) -> None:
    store = MemoryStore()
    said = [reasoning(sealed=False), call(), result(), message("yes")]
    if wire == "chat":
        said = [item if item is said[2] else of_chat(item) for item in said]
    await added(opened(store), user("one"), *said)
    entries = await JournalReader(store.for_user("u1"), "c1").read()
    [turn] = turns_of(entries, UpperBound())
    [asked] = [item for block in turn.blocks for item in block.items if isinstance(item, ToolCall)]
    assert asked.raw is None
    assert await opened(store).get_items() == [user("one"), *said]


async def test_pictures_and_files_are_what_a_model_sees() -> None:
    store = MemoryStore()
    item = {"role": "user", "content": [*PIECES, {"type": "input_file", "file_data": "data:;base64,"}]}
    await added(opened(store), item, call(), result(output=PIECES), call("call_2"), result("call_2", {"a": 1}))
    entries = await JournalReader(store.for_user("u1"), "c1").read()
    [turn] = turns_of(entries, UpperBound())
    assert turn.started is not None
    assert turn.started.input.content == (
        Text(text="look"),
        Image(url="https://pictures.example/1.png", detail="high"),
        Image(url="data:image/png;base64,iVBORw==", detail="auto"),
        Text(text='{"type":"input_image","file_id":"file_1","detail":"original"}'),
        File(url="https://files.example/1.pdf"),
        File(data=b"hello", media_type="text/plain", filename="a.txt"),
        Text(text='{"type":"input_file","file_data":"data:text/plain;base64,a"}'),
        Text(text='{"type":"input_file","file_data":"no address"}'),
        Text(text='{"type":"input_audio","data":"UklGRg=="}'),
        Text(text='"a bare text"'),
        Text(text='{"type":"input_file","file_data":"data:;base64,"}'),
    )
    answers = [item for block in turn.blocks for item in block.items if isinstance(item, ToolAnswer)]
    assert [answer.content for answer in answers] == [turn.started.input.content[:-1], (Text(text='{"a":1}'),)]


class Halves:
    """Counts less than `UpperBound` does."""

    name = "halves"

    def count(self, text: str) -> int:
        return len(text) // 2


async def test_a_window_counts_by_its_own_counter() -> None:
    store = MemoryStore()
    writing = opened(store, token_counter=Halves())
    await added(writing, user("a" * 200), message("one"))
    await added(writing, user("b" * 200), message("two"))
    assert len(await opened(store, max_tokens=400, token_counter=Halves()).get_items()) == 4
    assert await opened(store, max_tokens=400).get_items() == [user("b" * 200), message("two")]

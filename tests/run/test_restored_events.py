"""What the reader of a masked run sees is what an unmasked run shows."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_jsonable_python

from assistant_kit import Assistant, Context
from assistant_kit.errors import ModelBroke, StoreUnavailable
from assistant_kit.events import (
    ApprovalRequired,
    Complete,
    Delayed,
    Error,
    Event,
    ReasoningToken,
    RefusalToken,
    TextRetracted,
    Token,
    ToolProgress,
    ToolRequest,
    ToolResult,
)
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import Text, UserMessage, text_of
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.run.masking import Masks
from assistant_kit.run.restored_events import KeptEvents, RestoredEvents
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Say, ScriptedModel
from assistant_kit.usage import Usage
from tests.run.failing_vault import FailingVault

pytestmark = pytest.mark.anyio

BOB, CARD = "bob@example.org", "4111 1111 1111 1111"
FRAGMENTS = st.sampled_from(
    [BOB, CARD, "eve@example.net", "<EMAIL_1>", "<CARD_1>", "<EM", "AIL_1>", "<", ">", "B", " ", "x"]
)
TEXTS = st.lists(FRAGMENTS, min_size=1, max_size=12).map("".join).filter(str.strip)


def echo(text: str) -> str:
    """Say it again."""
    return f"{text} {text}"


def said(request: ModelRequest) -> str:
    (message,) = [item for item in request.items if isinstance(item, UserMessage)]
    return text_of(message.content)


async def seen(text: str, cuts: Sequence[int], masker: RuleMasker | None) -> list[Event]:
    """Return what the reader sees of a run that repeats what the user said, in a call and in an answer."""

    def answer(request: ModelRequest) -> Say:
        words = f"{said(request)}!"
        places = [0, *sorted({cut % len(words) for cut in cuts} - {0}), len(words)]
        return Say(words, pieces=[words[a:b] for a, b in pairwise(places)])

    model = ScriptedModel([lambda request: CallTools(Call("echo", {"text": said(request)})), answer])
    assistant = Assistant(model, tools=[echo], context=Context(masker=masker))
    async with assistant.stream(text, user="ann") as run:
        return [event async for event in run]


def shown(events: Sequence[Event]) -> list[object]:
    """Return what a reader makes of events: the pieces of the answer joined."""
    others: list[object] = [event for event in events if not isinstance(event, Token)]
    return [*others, "".join(event.text for event in events if isinstance(event, Token))]


@settings(max_examples=25)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_wherever_an_answer_is_cut_the_reader_sees_what_an_unmasked_run_shows(text: str, cuts: list[int]) -> None:
    async def compare() -> None:
        masked = await seen(text, cuts, RuleMasker(MemoryVault()))
        assert shown(masked) == shown(await seen(text, cuts, None))

    anyio.run(compare)


async def restored(events: Sequence[Event], *, plain: bool = True) -> list[Event]:
    masker = RuleMasker(MemoryVault())
    assert await masker.for_user("ann").mask([BOB]) == ["<EMAIL_1>"]
    restoring = RestoredEvents(Masks(masker, "ann", given_values=(), plain=plain))
    return [one for event in events for one in await restoring.take(event)] + list(await restoring.rest())


async def test_kinds_of_text_are_restored_each_by_itself() -> None:
    events = [Token("a <EM"), ReasoningToken("b <EMAIL_"), Token("AIL_1>"), ReasoningToken("1>"), RefusalToken("no <E")]
    assert await restored(events) == [
        Token("a "),
        ReasoningToken("b "),
        RefusalToken("no "),
        Token(BOB),
        ReasoningToken(BOB),
        RefusalToken("<E"),
    ]


async def test_what_comes_in_the_middle_of_a_text_does_not_end_it() -> None:
    wait = Delayed(call="model", name="m", reason="queue", expected=None)
    assert await restored([Token("<EM"), wait, Token("AIL_1>")]) == [wait, Token(BOB)]


async def test_what_is_held_back_comes_before_the_event_that_ends_a_text() -> None:
    gone = TextRetracted(text="to <EMAIL_1> <EM")
    assert await restored([Token("to <EMAIL_1> <EM"), gone, Token("<EMAIL_1>")]) == [
        Token(f"to {BOB} "),
        Token("<EM"),
        TextRetracted(text=f"to {BOB} <EM"),
        Token(BOB),
    ]


async def test_events_of_tools_show_values() -> None:
    no_object = ToolRequest(call_id="c", tool="t", arguments=None)
    progress = ToolProgress(call_id="c", tool="t", progress=1)
    failure = Error(error=ModelBroke("cut", model="m"))
    events = [
        ToolRequest(call_id="c", tool="t", arguments={"to": ["<EMAIL_1>", 1]}),
        no_object,
        ApprovalRequired(call_id="c", tool="t", arguments={"<EMAIL_1>": None}, digest="d"),
        ToolProgress(call_id="c", tool="t", progress=1, message="to <EMAIL_1>"),
        progress,
        ToolResult(call_id="c", tool="t", outcome="ok", content=(Text(text="<EMAIL_1> <EMAIL_2>"),)),
        failure,
    ]
    assert await restored(events) == [
        ToolRequest(call_id="c", tool="t", arguments={"to": [BOB, 1]}),
        no_object,
        ApprovalRequired(call_id="c", tool="t", arguments={BOB: None}, digest="d"),
        ToolProgress(call_id="c", tool="t", progress=1, message=f"to {BOB}"),
        progress,
        ToolResult(call_id="c", tool="t", outcome="ok", content=(Text(text=f"{BOB} <EMAIL_2>"),)),
        failure,
    ]


async def test_an_output_that_was_made_of_restored_text_is_not_restored_again() -> None:
    def end(output: Any) -> Complete:
        return Complete(output=output, status="completed", usage=Usage())

    assert await restored([end("<EMAIL_1>"), end(None)]) == [end(BOB), end(None)]
    assert await restored([end("<EMAIL_1>")], plain=False) == [end("<EMAIL_1>")]


async def test_arguments_of_very_many_levels_are_left_as_they_are() -> None:
    deep: Any = "<EMAIL_1>"
    for _ in range(200):
        deep = [deep]
    event = ToolRequest(call_id="c", tool="t", arguments={"deep": deep})
    assert await restored([event]) == [event]


async def test_a_reader_whose_vault_fails_gets_its_error_and_nothing_behind_the_gap() -> None:
    vault = FailingVault()
    masker = RuleMasker(vault)
    await masker.for_user("ann").mask([BOB])
    model = ScriptedModel([Say("to <EMAIL_1>, yes", pieces=["to <EMAIL", "_1>,", " yes"])])
    assistant = Assistant(model, context=Context(masker=masker))
    async with assistant.stream("hello", user="ann") as run:
        first = await run.__anext__()
        vault.fails = True
        with pytest.raises(StoreUnavailable):
            await run.__anext__()
        vault.fails = False
        with pytest.raises(StoreUnavailable):
            await run.arrived()
    assert first == Token("to ")


class Hasty(ScriptedModel):
    """Emits pieces without a pause, and then plays its script."""

    def __init__(self, *pieces: str, then: str) -> None:
        super().__init__([then])
        self.pieces = pieces

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        for piece in self.pieces:
            emit(Token(piece))
        return await super().respond(request, emit)


async def test_all_that_has_arrived_is_restored_at_once() -> None:
    model = Hasty("a ", "to <EMAIL", "_1>,", " yes", then="")
    assistant = Assistant(model, context=Context(masker=RuleMasker(MemoryVault())))
    async with assistant.stream(f"Write to {BOB}", user="ann") as run:
        arrived = await run.arrived()
    assert arrived[:3] == (Token("a "), Token("to "), Token(f"{BOB}, yes"))


async def test_what_was_held_back_when_a_run_breaks_off_is_shown_before_its_end() -> None:
    model = ScriptedModel([Cut(after="to <EMAIL_1> <EM", error=KeyError("broken"))])
    assistant = Assistant(model, context=Context(masker=RuleMasker(MemoryVault())), policies=[])
    events: list[Event] = []

    async def read() -> None:
        async with assistant.stream(f"Write to {BOB}", user="ann") as run:
            async for event in run:
                events.append(event)  # noqa: PERF401  (what has come before the error is looked at)

    with pytest.raises(KeyError):
        await read()
    texts = "".join(event.text for event in events if isinstance(event, Token))
    assert texts == f"to {BOB} <EM"
    assert [event.text for event in events if isinstance(event, TextRetracted)] == [texts]


async def test_a_run_that_breaks_off_without_a_word_shows_what_was_held_back() -> None:
    assistant = Assistant(Hasty("<EM", then=""), context=Context(masker=RuleMasker(MemoryVault())))
    async with assistant.stream("hello", user="ann") as run:
        events = [event async for event in run]
    assert events[0] == Token("<EM")


async def test_events_that_are_kept_hold_nothing_private_and_are_restored_one_by_one() -> None:
    async def write(to: str, context: ToolContext) -> str:
        """Write."""
        context.report_progress(1, None, f"writing to {to} and eve@example.net")
        context.report_progress(2, 2, None)
        return f"{to} has {CARD}"

    text = f"To <EMAIL_1> and carl@example.org, {CARD}."
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    model = ScriptedModel([CallTools(Call("write", {"to": "<EMAIL_1>"})), Say(text, pieces=pieces)])
    context = Context(masker=RuleMasker(MemoryVault()))
    assistant = Assistant(model, tools=[write], store="memory:", context=context)
    chat = assistant.conversation("c", user="ann")
    with anyio.fail_after(10):
        async with chat.stream(f"Write to {BOB}").as_kept() as run:
            data = [to_jsonable_python(event) async for event in run]
    assert_no_leak(json.dumps(data), [BOB, CARD, "carl@example.org", "eve@example.net"])
    back = [await chat.restored(each) for each in data]
    shown = "".join([str(each["text"]) for each in back if each["kind"] == "token"])
    assert shown == back[-1]["output"] == text.replace("<EMAIL_1>", BOB)
    assert [each["message"] for each in back if each["kind"] == "tool_progress"] == [
        "writing to <EMAIL_1> and eve@example.net",
        None,
    ]


async def test_what_a_run_takes_back_and_returns_is_kept_masked() -> None:
    keeping = KeptEvents(Masks(RuleMasker(MemoryVault()), "ann", given_values=(), plain=False))
    assert await keeping.take(TextRetracted(text=f"To {BOB} <EM")) == (TextRetracted(text="To <EMAIL_1> <EM"),)
    (event,) = await keeping.take(Complete(output={"to": (BOB,), "n": 1}, status="completed", usage=Usage()))
    assert event == Complete(output={"to": ["<EMAIL_1>"], "n": 1}, status="completed", usage=Usage())
    waiting = Complete(output=None, status="waiting", usage=Usage())
    assert await keeping.take(waiting) == (waiting,)


async def test_without_a_masker_events_are_kept_as_they_are() -> None:
    assistant = Assistant(ScriptedModel([f"To {BOB}"]), store="memory:")
    chat = assistant.conversation("c", user="ann")
    async with chat.stream("Hello").as_kept() as run:
        assert (await run.result()).output == f"To {BOB}"
    assert await chat.restored({"text": "<EMAIL_1>"}) == {"text": "<EMAIL_1>"}

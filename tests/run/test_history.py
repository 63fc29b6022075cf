"""Turns as a person reads them: in the order in which they happened, under the request that asked for them."""

import anyio
import pytest
from pydantic import BaseModel

from assistant_kit import Assistant, Conversation
from assistant_kit.errors import OutputInvalid
from assistant_kit.events import TextRetracted, Token, ToolRequest
from assistant_kit.run.history import HistoryStep, HistoryTurn
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Refuse, ScriptedModel, Step
from assistant_kit.toolsets.functions import tool
from tests.interrupted import World
from tests.run.masked_talk import BOB, CARL, Talk

pytestmark = pytest.mark.anyio

LOOK = CallTools(Call("look", {"at": "maps"}), Call("look", {"at": "trains"}), text="I look. ")
ASK = "It is far."


@tool(effect="read")
async def look(at: str) -> str:
    """Look something up."""
    return f"all about {at}"


def chat_of(*steps: Step) -> Conversation[str]:
    return Assistant(ScriptedModel(steps), tools=[look], store=MemoryStore()).conversation("c", user="u")


def told(turn: HistoryTurn) -> list[tuple[str, list[str]]]:
    assert turn.tool_calls == tuple(call for step in turn.steps for call in step.tool_calls)
    return [(step.text, [call.text for call in step.tool_calls]) for step in turn.steps]


async def test_a_turn_has_what_was_said_and_called_as_it_was_shown_live() -> None:
    chat = chat_of(LOOK, CallTools(Call("look", {"at": "roads"})), ASK)
    shown = ""
    with anyio.fail_after(10):
        async with chat.stream("How far?") as run:
            async for event in run:
                if isinstance(event, Token):
                    shown += event.text
                elif isinstance(event, ToolRequest):
                    shown += f"<{(event.arguments or {})['at']}>"

    (turn,) = await chat.history()

    assert told(turn) == [("I look. ", ["all about maps", "all about trains"]), ("", ["all about roads"]), (ASK, [])]
    assert shown == "I look. <maps><trains><roads>It is far."
    assert turn.text == ASK


async def test_a_turn_has_the_request_id_of_its_run() -> None:
    chat = chat_of("one", "two", ASK)
    await chat.run("x", request_id="request/7")
    await chat.run("y")
    await (await chat.fork("d")).run("z", request_id="r")

    assert [turn.request_id for turn in await chat.history()] == ["request/7", None]
    assert [(t.request_id, told(t)) for t in await (await chat.fork("e")).history()] == [
        ("request/7", [("one", [])]),
        (None, [("two", [])]),
    ]
    (newest,) = await chat.history(limit=1)
    assert newest.request_id is None


async def test_a_turn_that_went_on_in_another_process_is_one_turn() -> None:
    world = World()
    await world.dies(LOOK, ASK, tools=[look], fail_at=3)
    worker = world.assistant(ASK, tools=[look])
    assert (await worker.recover()).completed == 1

    (turn,) = await worker.conversation("c", user="u").history()

    assert told(turn) == [("I look. ", ["all about maps", "all about trains"]), (ASK, [])]
    assert turn.request_id == "r"


async def test_a_turn_that_waits_or_has_failed_has_what_was_said_until_then() -> None:
    @tool(needs_approval=True)
    async def pay() -> str:
        return "paid"

    model = ScriptedModel([CallTools(Call("pay"), text="I pay now."), ASK])
    chat = Assistant(model, tools=[pay], store=MemoryStore()).conversation("c", user="u")
    await chat.run("Pay")
    (waiting,) = await chat.history()
    assert waiting.steps == (HistoryStep(text="I pay now.", tool_calls=waiting.tool_calls),)
    assert [call.outcome for call in waiting.tool_calls] == [None]

    await chat.deny("call_1")
    await chat.close()
    (closed,) = await chat.history()
    assert told(closed)[0][0] == "I pay now."

    await chat.rewind(to_turn=None)
    assert await chat.history() == ()


async def test_a_turn_without_an_answer_has_no_steps() -> None:
    world = World()
    await world.dies(ASK, fail_at=2)
    (turn,) = await world.assistant().conversation("c", user="u").history()
    assert (turn.text, turn.steps) == ("", ())


async def test_a_refusal_is_a_step() -> None:
    chat = chat_of(Refuse("Not that."))
    await chat.run("x")
    (turn,) = await chat.history()
    assert told(turn) == [("Not that.", [])]


class Distance(BaseModel):
    """How far it is."""

    km: int


async def test_an_answer_that_was_taken_back_is_no_step_and_the_last_one_is() -> None:
    model = ScriptedModel([LOOK, '{"km": "far"}', '{"km": 7}', "bad", "worse"])
    assistant = Assistant(model, tools=[look], store=MemoryStore(), output_type=Distance)
    chat = assistant.conversation("c", user="u")
    with anyio.fail_after(10):
        async with chat.stream("How far?") as run:
            gone = [event.text async for event in run if isinstance(event, TextRetracted)]
        with pytest.raises(OutputInvalid):
            await chat.run("And now?")

    good, failed = await chat.history()

    assert gone == ['{"km": "far"}']
    assert told(good) == [("I look. ", ["all about maps", "all about trains"]), ('{"km": 7}', [])]
    assert told(failed) == [("worse", [])]


async def test_every_step_is_restored_for_its_reader() -> None:
    @tool(effect="read")
    async def find(who: str) -> str:
        return f"{who} knows {CARL}"

    talk = Talk(CallTools(Call("find", {"who": "<EMAIL_1>"}), text="I ask <EMAIL_1>."), "Ask <EMAIL_2>.", tools=[find])
    await talk.chat.run(f"Who knows {BOB}?")

    (turn,) = await talk.chat.history()

    assert told(turn) == [(f"I ask {BOB}.", [f"{BOB} knows {CARL}"]), (f"Ask {CARL}.", [])]
    assert [call.arguments for call in turn.steps[0].tool_calls] == [f'{{"who":"{BOB}"}}']
    await talk.assert_no_leak()


async def test_what_was_found_out_about_a_call_is_in_its_step() -> None:
    @tool
    async def pay() -> str:
        return "paid"

    world = World()
    await world.dies(CallTools(Call("pay"), text="I pay."), tools=[pay], fail_at=3)
    worker = world.assistant("I do not know.", "I see.", tools=[pay])
    await worker.recover()
    chat = worker.conversation("c", user="u")
    await chat.run("And?")
    await chat.resolve("call_1", happened=True, result="paid, says the bank", by="Ann")

    turns = await chat.history()
    (page,) = await chat.history(limit=1, before=turns[1].seq)
    for turn in (turns[0], page):
        assert told(turn) == [("I pay.", ["paid, says the bank"]), ("I do not know.", [])]

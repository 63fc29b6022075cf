"""One conversation, answered by the SDK and by assistants of this library in turns; and what else may befall it."""

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Recovery, tool
from assistant_kit.audit import verify
from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, ModelResponded, ToolFinished, TurnFinished, TurnOutcome, TurnStarted
from assistant_kit.errors import ApprovalPending, AssistantKitError, ConversationBusy, ConversationNotFound, TurnParked
from assistant_kit.integrations.openai_agents import StoreSession
from assistant_kit.integrations.openai_agents.items import items_of
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
    UserMessage,
)
from assistant_kit.models.openai import OpenAIChat, OpenAIResponses
from assistant_kit.protocols.store import Append, Store, TurnState
from assistant_kit.run.long_results import hidden, name_of
from assistant_kit.runtimes.journal import new_record
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.transfer import export_user, import_lines
from assistant_kit.usage import Usage
from tests.integrations.openai_agents.driving import PATIENCE, TWO_STEPS, Wire, driving
from tests.integrations.openai_agents.items import call, message, result, user
from tests.integrations.openai_agents.session_cases import TURN, added, problems
from tests.openai_server import Answer, OpenAIServer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio: the SDK knows no other loop."""
    return "asyncio"


def opened(store: Store, conversation: str = "c1") -> StoreSession:
    return StoreSession(store, user="u1", conversation=conversation)


@tool
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("wire", ["responses", "chat"])
@pytest.mark.parametrize("other", ["responses", "chat"])
async def test_the_sdk_and_an_assistant_take_turns(wire: Wire, other: Wire) -> None:
    store = MemoryStore()
    with OpenAIServer() as server, anyio.fail_after(PATIENCE):
        server.script([*TWO_STEPS, *TWO_STEPS, Answer("Goodbye.")])
        kind = OpenAIResponses if other == "responses" else OpenAIChat
        model = kind("m", base_url=server.base_url, api_key="test")
        async with (
            aclosing(model),
            Assistant(model, tools=[weather], store=store) as assistant,
            driving(server, wire) as driver,
        ):
            await driver.run("Weather?", opened(store))
            again = await assistant.run("And now?", user="u1", conversation="c1")
            await driver.run("Bye.", opened(store))
            history = await assistant.conversation("c1", user="u1").history()
        assert again.output == "Sunny in both."
        assert [request.problem for request in server.requests] == [None] * 5
    assert [(turn.input, turn.text, [done.text for done in turn.tool_calls], turn.outcome) for turn in history] == [
        ("Weather?", "Sunny in both.", ["sunny in Oslo", "sunny in Bergen"], "completed"),
        ("And now?", "Sunny in both.", ["sunny in Oslo", "sunny in Bergen"], "completed"),
        ("Bye.", "Goodbye.", [], "completed"),
    ]
    assert await problems(store, opened(store)) == []
    sent = json.dumps(server.requests[-1].body)
    assert sent.count("sunny in Oslo") == 2
    assert "__fake_id__" not in sent or wire == "chat"


async def test_what_the_sdk_said_is_exported_imported_and_erased(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", audit=True)
    items = [*TURN, {"role": "system", "content": "Be brief."}, user("Bye."), message("Goodbye.")]
    await added(opened(store), *items)
    await opened(store).pop_item()
    await added(opened(store), items[-1])
    assert (await verify(store.for_user("u1"))).ok
    other = MemoryStore()
    lines = [line async for line in export_user(store.for_user("u1"))]
    assert list(await import_lines(other.for_user("u1"), lines)) == ["c1"]
    assert await opened(other).get_items() == items
    await added(opened(other), user("Hello again"))
    assert await problems(other, opened(other)) == []
    await store.for_user("u1").erase()
    assert await opened(store).get_items() == []
    await store.aclose()


async def test_a_store_that_encrypts_holds_sessions(tmp_path: Path) -> None:
    plain = SQLiteStore(tmp_path / "chat.db")
    store = EncryptedStore(plain, MasterKeys({"k1": bytes(32)}))
    await added(opened(store), *TURN)
    assert await opened(store).get_items() == TURN
    assert b"Weather?" not in b"".join([record.body for record in await plain.for_user("u1").read("c1")])
    await store.aclose()


async def test_a_fork_has_the_items_up_to_there() -> None:
    store = MemoryStore()
    await added(opened(store), *TURN)
    async with Assistant(ScriptedModel([]), store=store) as assistant:
        await assistant.conversation("c1", user="u1").fork("c2")
    await opened(store).pop_item()
    assert await opened(store, "c2").get_items() == TURN
    await added(opened(store, "c2"), user("More?"))
    assert await opened(store).get_items() == TURN[:-1]


async def test_an_assistant_leaves_an_unfinished_run_of_the_sdk_alone_until_it_is_closed() -> None:
    store = MemoryStore()
    await added(opened(store), user("Weather?"), call())
    with ScriptedModel(["Hello."]) as model:
        async with Assistant(model, store=store) as assistant:
            conversation = assistant.conversation("c1", user="u1")
            with pytest.raises(ConversationBusy):
                await conversation.run("Hello?")
            assert await assistant.recover() == Recovery(left=1)
            await conversation.close()
            assert (await conversation.run("Hello?")).output == "Hello."
    assert await problems(store, opened(store)) == []


async def test_the_sdk_leaves_a_turn_that_waits_for_a_decision_alone() -> None:
    store = MemoryStore()

    @tool(needs_approval=True)
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    with ScriptedModel([CallTools(Call("pay", {"amount": 3}, call_id="call_1"))]) as model:
        async with Assistant(model, tools=[pay], store=store) as assistant:
            await assistant.run("Pay 3.", user="u1", conversation="c1")
    before = await opened(store).get_items()
    for change in (lambda: added(opened(store), user("Hello?")), opened(store).pop_item):
        with pytest.raises(ApprovalPending) as waiting:
            await change()
        assert waiting.value.call_ids == ("call_1",)
    assert await opened(store).get_items() == before
    await opened(store).clear_session()
    assert await opened(store).get_items() == []


async def written(store: Store, *entries: Entry, state: TurnState = "idle") -> None:
    """Write what an assistant has left behind."""
    handle = store.for_user("u1")
    lease = await handle.claim("c1", owner="assistant", ttl=30.0)
    measured = [measure(entry, UpperBound()) for entry in entries]
    records = [new_record(one, f"r{lease.seq + place}") for place, one in enumerate(measured)]
    open_turn = None if state == "idle" else lease.seq + 1
    await handle.append(
        Append(lease=lease, expected_seq=lease.seq, records=records, state=state, open_turn=open_turn, release=True)
    )


def said(text: str) -> UserMessage:
    return UserMessage(content=(Text(text=text),))


def finished(outcome: TurnOutcome, reason: str = "") -> TurnFinished:
    return TurnFinished(turn="t", outcome=outcome, usage=Usage(), reason=reason)


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [([], "open", ConversationBusy), ([finished("parked", "it failed")], "parked", TurnParked)],
    ids=["interrupted", "parked"],
)
async def test_the_sdk_leaves_an_unfinished_turn_of_an_assistant_alone(
    end: list[Entry], state: TurnState, error: type[AssistantKitError]
) -> None:
    store = MemoryStore()
    await written(store, TurnStarted(turn="t", input=said("Hello")), *end, state=state)
    with pytest.raises(error) as refused:
        await added(opened(store), user("Hello?"))
    if isinstance(refused.value, TurnParked):
        assert refused.value.reason == "it failed"
    assert await opened(store).get_items() == [user("Hello")]


async def test_an_answer_that_is_taken_back_is_not_given_again_by_a_worker() -> None:
    store = MemoryStore()
    with ScriptedModel(["Hello."]) as model:
        async with Assistant(model, store=store) as assistant:
            await assistant.run("Hello?", user="u1", conversation="c1")
            assert await opened(store).pop_item() == {"content": "Hello.", "role": "assistant"}
            assert await assistant.recover() == Recovery()
            [turn] = await assistant.conversation("c1", user="u1").history()
    assert (turn.outcome, turn.text) == ("cancelled", "")
    assert await opened(store).get_items() == [user("Hello?")]
    assert await problems(store, opened(store)) == []


async def test_a_part_of_an_answer_of_an_assistant_is_taken_back() -> None:
    store = MemoryStore()
    items = (AssistantMessage(text="I look."), ToolCall(call_id="call_1", name="weather", arguments="{}"))
    answered = ModelResponded(turn="t", step=1, model="m", items=items, usage=Usage())
    await written(store, TurnStarted(turn="t", input=said("Hello")), answered, finished("failed"))
    taken = await opened(store).pop_item()
    assert taken is not None
    assert taken.get("type") == "function_call"
    assert await opened(store).get_items() == [user("Hello"), {"content": "I look.", "role": "assistant"}]
    assert await problems(store, opened(store)) == []


async def test_the_whole_text_of_a_result_goes_with_the_item_that_is_taken_back() -> None:
    store = MemoryStore()
    handle = store.for_user("u1")
    kept = name_of("t", "1.0", "a long text")
    await handle.release(await handle.claim(hidden(kept), owner="assistant", ttl=30.0))
    asked = ToolCall(call_id="call_1", name="read", arguments="{}")
    end = ToolFinished(
        turn="t", key="1.0", call_id="call_1", tool="read", outcome="ok", content=(Text(text="a long"),), kept=kept
    )
    answered = ModelResponded(turn="t", step=1, model="m", items=(asked,), usage=Usage())
    await written(store, TurnStarted(turn="t", input=said("Read")), answered, end, finished("completed"))
    await opened(store).pop_item()
    with pytest.raises(ConversationNotFound):
        await handle.read(hidden(kept))


async def test_where_no_item_stands_none_is_taken_back() -> None:
    store = MemoryStore()
    await written(store, finished("completed"))
    assert await opened(store).pop_item() is None
    assert len(await store.for_user("u1").read("c1")) == 1


async def test_what_was_found_out_about_a_call_is_its_result() -> None:
    store = MemoryStore()
    asked = ToolCall(call_id="call_1", name="pay", arguments="{}")
    answered = ModelResponded(turn="t", step=1, model="m", items=(asked,), usage=Usage())
    lost = ToolFinished(
        turn="t", key="1.0", call_id="call_1", tool="pay", outcome="unknown", content=(Text(text="Nobody knows."),)
    )
    await written(store, TurnStarted(turn="t", input=said("Pay")), answered, lost, finished("completed"))
    assert (await opened(store).get_items())[-1] == result("call_1", "Nobody knows.")
    async with Assistant(ScriptedModel([]), store=store) as assistant:
        await assistant.conversation("c1", user="u1").resolve("call_1", happened=True, result="paid 3")
    assert (await opened(store).get_items())[-1] == result("call_1", "paid 3")


def test_entries_of_an_assistant_are_items_that_the_responses_api_takes() -> None:
    picture = Image(data=b"\xff\xfe", media_type="image/png")
    content = (Text(text="look"), picture, File(url="https://x.example/a.pdf"), File(data=b"hello"))
    output = (
        Reasoning(text="I think"),
        ProviderItem(type="web_search_call", raw='{"type":"web_search_call","id":"ws_1"}'),
        ProviderItem(type="strange", raw="no JSON"),
        ProviderItem(type="strange", raw="[]"),
        AssistantMessage(text="", refusal="no"),
        ToolCall(call_id="call_1", name="weather", arguments="{}"),
    )
    entries: list[Any] = [
        TurnStarted(turn="t", input=UserMessage(content=content)),
        ModelResponded(
            turn="t", step=1, model="m", items=output, usage=Usage(), prompt=DeveloperMessage(text="Mend it.")
        ),
    ]
    assert [item for entry in entries for item in items_of(entry)] == [
        {
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,//4="},
                {"type": "input_file", "file_url": "https://x.example/a.pdf"},
                {
                    "type": "input_file",
                    "filename": "file",
                    "file_data": "data:application/octet-stream;base64,aGVsbG8=",
                },
            ],
            "role": "user",
        },
        {"content": "Mend it.", "role": "developer"},
        {"type": "web_search_call", "id": "ws_1"},
        {"content": "no", "role": "assistant"},
        {"arguments": "{}", "call_id": "call_1", "name": "weather", "type": "function_call"},
    ]

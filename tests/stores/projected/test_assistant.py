"""Assistants whose store makes the rows of a message table."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from assistant_kit.assistant import Assistant
from assistant_kit.errors import AssistantKitError, ModelUnavailable, ProjectionFailed, StoreError
from assistant_kit.policies.fallback import Fallback
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.projection import Projected
from assistant_kit.protocols.store import Store
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.projected import ProjectedStore, said
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, ScriptedModel, Step
from assistant_kit.toolsets.functions import tool
from assistant_kit.transfer import export_user, import_lines
from tests.faulty_store import FaultyStore, When
from tests.stores.projected.rows import rows_in_sqlite

pytestmark = pytest.mark.anyio

Message = tuple[str, str, str]
"""In which conversation, by whom, what."""


def into_messages(tables: dict[str, Any], written: Projected) -> None:
    messages: list[Message] = tables.setdefault("message", [])
    messages.extend((written.conversation, message.role, message.text) for message in said(written.entries()))


class Talk:
    """A user's conversations in a store whose clock a test sets, and the messages that were projected."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.kept = MemoryStore(clock=lambda: self.now)

    @property
    def messages(self) -> list[Message]:
        return self.kept.tables.get("message", [])

    def assistant(self, *steps: Step, store: Store | None = None, **options: Any) -> Assistant[Any]:
        return Assistant(ScriptedModel(steps), store=ProjectedStore(store or self.kept, into_messages), **options)

    async def journal(self) -> list[Message]:
        """Return the messages that the history has."""
        reader = self.assistant()
        found: list[Message] = []
        for info in await self.kept.for_user("u").conversations():
            for turn in await reader.conversation(info.conversation, user="u").history():
                found.append((info.conversation, "user", turn.input))
                if turn.outcome == "completed":
                    found.append((info.conversation, "assistant", turn.text))
        return found


@tool
async def look(what: str) -> str:
    """Look at something."""
    return f"{what} is fine"


async def test_a_turn_is_two_messages_whatever_was_called_between_them() -> None:
    talk = Talk()
    assistant = talk.assistant(
        "fine", CallTools(Call("look", {"what": "it"}), text="I look"), "it is fine", tools=[look]
    )

    await assistant.run("how is it?", user="u", conversation="c")
    await assistant.run("and now?", user="u", conversation="c")

    assert talk.messages == await talk.journal()
    assert [(role, text) for _, role, text in talk.messages] == [
        ("user", "how is it?"),
        ("assistant", "fine"),
        ("user", "and now?"),
        ("assistant", "it is fine"),
    ]


class Weather(BaseModel):
    city: str


async def test_an_answer_that_had_to_be_given_again_is_one_message() -> None:
    talk = Talk()
    assistant = talk.assistant('{"town": "Oslo"}', '{"city": "Oslo"}', "no", "no", output_type=Weather)

    await assistant.run("where?", user="u", conversation="c")
    with pytest.raises(AssistantKitError):
        await assistant.run("where else?", user="u", conversation="c")

    assert talk.messages == [
        ("c", "user", "where?"),
        ("c", "assistant", '{"city": "Oslo"}'),
        ("c", "user", "where else?"),
    ]


async def test_an_answer_of_another_model_behind_one_that_broke_off_is_one_message() -> None:
    talk = Talk()
    backup = ScriptedModel(["the whole answer"])
    assistant = talk.assistant(
        Cut(after="the half", error=ModelUnavailable("down", model="m")), policies=[Fallback(backup)]
    )

    stream = assistant.stream("hello?", user="u", conversation="c")
    async with stream:
        kinds = [event.kind async for event in stream]

    assert "text_retracted" in kinds
    assert talk.messages == [("c", "user", "hello?"), ("c", "assistant", "the whole answer")]


async def test_a_turn_that_fails_has_no_answer() -> None:
    talk = Talk()
    assistant = talk.assistant(Fail(ModelUnavailable("down", model="m")), "here", policies=[])

    with pytest.raises(ModelUnavailable):
        await assistant.run("anybody?", user="u", conversation="c")
    await assistant.run("and now?", user="u", conversation="c")

    assert [text for _, _, text in talk.messages] == ["anybody?", "and now?", "here"]


async def test_a_paused_turn_is_answered_when_it_goes_on() -> None:
    talk = Talk()

    @tool(needs_approval=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    assistant = talk.assistant(CallTools(Call("pay"), text="May I?"), "it is paid", tools=[pay])
    await assistant.run("pay", user="u", conversation="c")
    waiting = list(talk.messages)
    conversation = assistant.conversation("c", user="u")
    await conversation.approve("call_1")
    await conversation.resume()

    assert waiting == [("c", "user", "pay")]
    assert talk.messages == [("c", "user", "pay"), ("c", "assistant", "it is paid")]


async def test_what_a_transactional_tool_writes_stands_beside_the_messages() -> None:
    talk = Talk()

    @tool(effect="transactional")
    async def note(what: str, context: ToolContext) -> str:
        """Note something."""
        context.connection["noted"] = what
        return "noted"

    assistant = talk.assistant(CallTools(Call("note", {"what": "milk"})), "It is noted.", tools=[note])
    await assistant.run("note milk", user="u", conversation="c")

    assert talk.kept.tables["noted"] == "milk"
    assert talk.messages == await talk.journal() == [("c", "user", "note milk"), ("c", "assistant", "It is noted.")]


async def test_turns_of_nested_assistants_and_long_results_are_no_messages() -> None:
    talk = Talk()
    store = ProjectedStore(talk.kept, into_messages)

    @tool
    async def report() -> str:
        """Read a long report."""
        return "word " * 5_000

    clerk = Assistant(ScriptedModel(["inner answer"]), store=store, settings=Settings(name="clerk"))
    chief = Assistant(
        ScriptedModel([CallTools(Call("clerk", {"message": "inner question"}), Call("report")), "outer answer"]),
        store=store,
        tools=[clerk.as_tool(name="clerk", description="Does what it is told."), report],
        settings=Settings(window=WindowSettings(max_result_tokens=500)),
    )

    async with chief:
        result = await chief.run("outer question", user="u", conversation="c")

    assert [call.outcome for call in result.tool_calls] == ["ok", "ok"]
    assert len(await store.for_user("u").conversations()) == 3
    assert talk.messages == [("c", "user", "outer question"), ("c", "assistant", "outer answer")]


def looks_first(request: ModelRequest) -> Step:
    return CallTools(Call("look", {"what": "it"})) if request.items[-1].kind == "user" else "it is fine"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fail_at", range(1, 9))
async def test_messages_and_history_agree_wherever_a_worker_loses_its_store(fail_at: int, when: When) -> None:
    talk = Talk()
    lost = FaultyStore(talk.kept, fail_at=fail_at, when=when)
    worker = talk.assistant(*[looks_first] * 2, store=lost, tools=[look])

    with suppress(StoreError):
        await worker.run("how is it?", user="u", conversation="c", request_id="r")
    assert talk.messages == await talk.journal()
    talk.now += 31
    again = talk.assistant(*[looks_first] * 2, tools=[look])
    await again.recover()
    await again.run("how is it?", user="u", conversation="c", request_id="r")

    assert talk.messages == await talk.journal()
    assert talk.messages == [("c", "user", "how is it?"), ("c", "assistant", "it is fine")]


async def test_a_turn_whose_answer_cannot_be_projected_is_finished_when_that_is_mended() -> None:
    talk = Talk()
    broken = True

    def project(tables: dict[str, Any], written: Projected) -> None:
        if broken and any(message.role == "assistant" for message in said(written.entries())):
            raise ZeroDivisionError
        into_messages(tables, written)

    store = ProjectedStore(talk.kept, project)
    first = Assistant(ScriptedModel(["lost"]), store=store)
    with pytest.raises(ProjectionFailed):
        await first.run("hello?", user="u", conversation="c", request_id="r")
    waiting = list(talk.messages)

    broken = False
    result = await Assistant(ScriptedModel(["kept"]), store=store).run(
        "hello?", user="u", conversation="c", request_id="r"
    )

    assert waiting == [("c", "user", "hello?")]
    assert result.output == "kept"
    assert talk.messages == [("c", "user", "hello?"), ("c", "assistant", "kept")]


async def test_imported_conversations_are_projected() -> None:
    talk, elsewhere = Talk(), Talk()
    assistant = talk.assistant("2", "4")
    for question in ("1", "3"):
        await assistant.run(question, user="u", conversation="c")
    lines = [line async for line in export_user(talk.kept.for_user("u"))]

    await import_lines(ProjectedStore(elsewhere.kept, into_messages).for_user("u"), lines)

    assert elsewhere.messages == talk.messages == await elsewhere.journal()
    assert len(talk.messages) == 4


def into_table(connection: sqlite3.Connection, written: Projected) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS message (conversation TEXT, role TEXT, content TEXT)")
    rows = [(written.conversation, message.role, message.text) for message in said(written.entries())]
    connection.executemany("INSERT INTO message VALUES (?, ?, ?)", rows)


async def test_workers_of_one_file_take_turns_in_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    stores = [ProjectedStore(SQLiteStore(path), into_table) for _ in range(2)]
    with anyio.fail_after(30):
        for turn, store in enumerate((*stores, *stores)):
            assistant: Assistant[str] = Assistant(ScriptedModel([f"answer {turn}"]), store=store)
            await assistant.run(f"question {turn}", user="u", conversation="c")
        for store in stores:
            await store.aclose()

    rows: Sequence[Message] = rows_in_sqlite(path, "message")
    assert rows == [
        ("c", role, f"{words} {turn}")
        for turn in range(4)
        for role, words in (("user", "question"), ("assistant", "answer"))
    ]

"""The code that docs/recovery.md and docs/conversations.md show."""

import sqlite3
from pathlib import Path

import anyio
import pytest

from assistant_kit import Assistant, Recovery, RecoverySettings, Settings, ToolContext, tool
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing import Call, CallTools, ScriptedModel
from tests.interrupted import World

pytestmark = pytest.mark.anyio


async def test_a_worker_recovers_beside_its_work() -> None:
    world = World()
    await world.dies("never stored")
    store, model = world.store, ScriptedModel(["answer"])
    with anyio.fail_after(10):
        # --8<-- [start:sweep]
        settings = Settings(name="support", recovery=RecoverySettings(max_attempts=5, backoff=10.0, patience=3600.0))
        assistant = Assistant(model, store=store, settings=settings)
        async with assistant, assistant.recovering(every=10.0):
            ...  # serve requests
        # --8<-- [end:sweep]
    # --8<-- [start:once]
    recovery: Recovery = await assistant.recover()
    print(recovery.completed, recovery.parked, recovery.suspended)  # noqa: T201
    # --8<-- [end:once]
    assert recovery == Recovery(left=1)  # the turn is of an assistant with another name


async def test_what_became_of_a_call_is_looked_up_and_never_guessed() -> None:
    paid = {"k": "charge 7"}

    # --8<-- [start:reconcile]
    class Bank:
        """A payment service: it knows payments by the reference that it was given."""

        async def charge(self, amount: int, reference: str) -> str:
            paid[reference] = f"charge of {amount}"
            return paid[reference]

        async def find(self, reference: str) -> str | None:
            return paid.get(reference)

    bank = Bank()

    async def look_up(context: ToolContext) -> str | None:
        return await bank.find(context.idempotency_key)

    @tool(effect="once", reconcile=look_up)
    async def charge(amount: int, context: ToolContext) -> str:
        """Charge the customer's card, in cents."""
        return await bank.charge(amount, context.idempotency_key)

    # --8<-- [end:reconcile]
    world = World()
    await world.dies(CallTools(Call("charge", {"amount": 5})), tools=[charge], fail_at=3)
    worker = world.assistant("done", tools=[charge])
    await worker.recover()
    (turn,) = await worker.conversation("c", user="u").history()
    assert [call.text for call in turn.tool_calls] == ["charge of 5"]


async def test_a_person_settles_what_nobody_else_can() -> None:
    @tool
    async def pay() -> str:
        return "paid"

    world = World()
    await world.dies(CallTools(Call("pay")), tools=[pay], fail_at=3)
    assistant = world.assistant("I do not know.", tools=[pay])
    await assistant.recover()
    # --8<-- [start:resolve]
    chat = assistant.conversation("c", user="u")
    for name, call in await chat.unknown_calls():
        print(name, call.tool, call.arguments)  # noqa: T201
        await chat.resolve(name, happened=True, result="Paid: receipt 4711.", by="Ann")
    # --8<-- [end:resolve]
    assert await chat.unknown_calls() == ()


async def test_a_transactional_tool_writes_into_the_journals_own_database(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "app.db")
    await store.open()
    database = sqlite3.connect(tmp_path / "app.db")
    database.execute("CREATE TABLE bookings (seat TEXT PRIMARY KEY, user TEXT)")

    # --8<-- [start:transactional]
    @tool(effect="transactional")
    def book(seat: str, context: ToolContext) -> str:
        """Book a seat."""
        database: sqlite3.Connection = context.connection
        database.execute("INSERT INTO bookings VALUES (?, ?)", (seat, context.user))
        return f"booked {seat}"

    # --8<-- [end:transactional]
    model = ScriptedModel([CallTools(Call("book", {"seat": "1A"})), "done"])
    await Assistant(model, tools=[book], store=store).run("x", user="u1", conversation="c1")
    assert database.execute("SELECT seat, user FROM bookings").fetchall() == [("1A", "u1")]
    database.close()
    await store.aclose()


async def test_a_conversation_is_read_renamed_forked_and_rewound() -> None:
    model = ScriptedModel([f"answer {n}" for n in range(4)])
    assistant = Assistant(model, store=MemoryStore())
    for text in ("first", "second", "third"):
        await assistant.run(text, user="u1", conversation="c1")
    # --8<-- [start:conversation]
    chat = assistant.conversation("c1", user="u1")
    page = await chat.history(limit=2)  # the newest two turns
    older = await chat.history(limit=20, before=page[0].seq)
    newer = await chat.history(limit=20, after=older[-1].seq)

    await chat.rename("Three questions")
    info = await chat.info()
    print(info.title, info.state, info.records)  # noqa: T201
    other = await chat.fork("c2", after_turn=page[0].turn)  # shares two turns, copies nothing
    await chat.rewind(to_turn=page[0].turn)  # forgets the third
    # --8<-- [end:conversation]
    assert [turn.input for turn in newer] == ["second", "third"]
    assert len(await other.history()) == 2
    assert info.title == "Three questions"
    assert len(await chat.history()) == 2


async def test_a_turn_is_shown_as_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    async def find_flight(to: str) -> str:
        """Find a flight."""
        return f"to {to} at 9:40"

    model = ScriptedModel([CallTools(Call("find_flight", {"to": "Oslo"}), text="Let me look."), "At 9:40."])
    chat = Assistant(model, tools=[find_flight], store=MemoryStore()).conversation("c1", user="u1")
    await chat.run("When is there a flight to Oslo?", request_id="message-1")
    # --8<-- [start:steps]
    (turn,) = await chat.history()
    for step in turn.steps:
        print(step.text)  # noqa: T201
        for call in step.tool_calls:
            print(f"  {call.tool} {call.arguments}: {call.text}")  # noqa: T201
    # --8<-- [end:steps]
    said = ["Let me look.", '  find_flight {"to": "Oslo"}: to Oslo at 9:40', "At 9:40."]
    assert capsys.readouterr().out.splitlines() == said
    assert turn.request_id == "message-1"


async def test_one_assistant_is_a_tool_of_another() -> None:
    store = MemoryStore()
    search = ScriptedModel(["Oslo has 700,000 inhabitants."])
    writer = ScriptedModel([CallTools(Call("research", {"message": "How large is Oslo?"})), "Large."])
    # --8<-- [start:nested]
    researcher = Assistant(search, instructions="Find facts.", store=store, settings=Settings(name="researcher"))
    author = Assistant(
        writer,
        tools=[researcher.as_tool(name="research", description="Finds facts; ask one question at a time.")],
        store=store,
    )
    async with author:
        result = await author.run("How large is Oslo?", user="u1", conversation="c1")
    # --8<-- [end:nested]
    assert result.output == "Large."

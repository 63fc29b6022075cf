"""What a tool gets and says is masked where others read it, and a vault that fails costs no call twice."""

import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Context, Settings, WindowSettings
from assistant_kit.entries import (
    ApprovalDecided,
    ToolFinished,
    ToolNoted,
    ToolStarted,
)
from assistant_kit.errors import (
    OutcomeUnknown,
    StoreUnavailable,
    ToolError,
)
from assistant_kit.events import ApprovalRequired
from assistant_kit.journal_reader import JournalReader
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.messages import text_of
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel, Step
from assistant_kit.toolsets.functions import tool
from tests.faulty_store import FaultyStore
from tests.run.failing_vault import FailingVault
from tests.run.masked_talk import BOB, CARD, CARL, EVE, PRIVATE, Talk, last_answer, said
from tests.run.test_one_call import GivenUp, Slow

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("effect", "calls", "outcome"), [("read", 2, "ok"), ("once", 1, "unknown")])
async def test_a_result_that_cannot_be_masked_is_not_recorded_and_no_policy_repeats_the_call(
    effect: Any, calls: int, outcome: str
) -> None:
    made: list[str] = []

    @tool(effect=effect)
    def ask() -> str:
        """Ask."""
        made.append("x")
        return f"Ask {CARL}"

    vault = FailingVault(fails_for=(CARL,))
    policies = [Retry(passes=lambda _: True)]
    # What is read is asked for again with the model's answer, which was not on record yet.
    again: list[Step] = [CallTools(Call("ask"))] * (calls - 1)
    talk = Talk(CallTools(Call("ask")), *again, "done", tools=[ask], vault=vault, policies=policies)
    with pytest.raises(StoreUnavailable):
        await talk.chat.run("hello")
    assert len(made) == 1
    vault.fails_for = ()
    result = await talk.chat.resume()
    assert (len(made), result.tool_calls[0].outcome) == (calls, outcome)
    await talk.assert_no_leak()


async def test_a_call_whose_arguments_cannot_be_restored_is_not_made_and_not_claimed() -> None:
    made: list[str] = []
    vault = FailingVault()

    @tool(effect="once")
    def send(to: str) -> str:
        """Send."""
        made.append(to)
        return "sent"

    def down(_: ModelRequest) -> CallTools:
        vault.fails = not vault.fails_for
        return CallTools(Call("send", {"to": "<EMAIL_1>"}))

    talk = Talk(down, down, "done", tools=[send], vault=vault, context={"raw_arguments": {"send"}})
    with pytest.raises(StoreUnavailable):
        await talk.chat.run(f"Write to {BOB}")
    assert await talk.entries(ToolStarted) == []
    vault.fails, vault.fails_for = False, "x"
    result = await talk.chat.resume()
    assert (made, result.tool_calls[0].outcome) == ([BOB], "ok")


async def test_another_worker_that_shares_the_vault_goes_on_with_the_same_pseudonyms_and_keys() -> None:
    now = [1_000.0]
    store, vault_store = MemoryStore(clock=lambda: now[0]), MemoryStore()
    keys: list[tuple[str, str]] = []

    @tool(effect="idempotent")
    def send(to: str, context: ToolContext) -> str:
        """Send."""
        keys.append((to, context.idempotency_key))
        return f"sent to {to}, copy to {EVE}"

    def worker(*steps: Step, fail_at: int = 0) -> Talk:
        talk = Talk(
            *steps,
            vault=StoreVault(vault_store),
            store=FaultyStore(store, fail_at=fail_at) if fail_at else store,
            tools=[send],
            context={"raw_arguments": {"send"}},
        )
        talk.store = store
        return talk

    steps = [CallTools(Call("send", {"to": "<EMAIL_1>"})), "Wrote to <EMAIL_1> and <EMAIL_2>."]
    dying = worker(*steps, fail_at=3)
    with pytest.raises(StoreUnavailable):
        await dying.chat.run(f"Write to {BOB}", request_id="r")
    now[0] += 31
    other = worker(steps[1])
    with anyio.fail_after(5):
        assert (await other.assistant.recover()).completed == 1
        result = await other.chat.run(f"Write to {BOB}", request_id="r")
    assert result.output == f"Wrote to {BOB} and {EVE}."
    assert result.tool_calls[0].text == f"sent to {BOB}, copy to {EVE}"
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert keys[0][0] == BOB
    await dying.assert_no_leak()
    await other.assert_no_leak()


async def test_a_tool_may_repeat_the_pseudonyms_it_was_given_and_no_others() -> None:
    def echo(text: str) -> str:
        """Say more."""
        return f"{text}, <CARD_1> and <EMAIL_9>, {EVE}"

    talk = Talk(CallTools(Call("echo", {"text": "<EMAIL_1>"})), lambda r: Say(last_answer(r)), tools=[echo])
    result = await talk.chat.run(f"{BOB} {CARD}")
    (answer,) = [last_answer(request) for request in talk.model.requests[1:]]
    assert answer == "<EMAIL_1>, <TEXT_1> and <TEXT_2>, <EMAIL_2>"
    assert result.output == f"{BOB}, <CARD_1> and <EMAIL_9>, {EVE}"


async def test_errors_of_tools_and_unknown_outcomes_are_masked() -> None:
    @tool(effect="once")
    def pay(how: str) -> str:
        """Pay."""
        raise (OutcomeUnknown if how == "lost" else ToolError)(f"{CARL} did not answer")

    calls = CallTools(Call("pay", {"how": "lost"}), Call("pay", {"how": ""}))
    talk = Talk(calls, "done", tools=[pay])
    result = await talk.chat.run("hello")
    assert [call.outcome for call in result.tool_calls] == ["unknown", "error"]
    assert all(f"{CARL} did not answer" in call.text for call in result.tool_calls)
    ((name, call),) = await talk.chat.unknown_calls()
    assert CARL in call.text
    await talk.chat.resolve(name, happened=True, result=f"Paid, says {EVE}", by=BOB)
    (turn,) = await talk.chat.history()
    assert (turn.tool_calls[0].text, turn.tool_calls[0].resolved_by) == (f"Paid, says {EVE}", BOB)
    await talk.assert_no_leak()


async def test_notes_are_masked_and_read_by_the_tool_as_it_left_them() -> None:
    now = [1_000.0]
    store = MemoryStore(clock=lambda: now[0])
    seen: list[tuple[str, ...]] = []

    async def reconcile(context: ToolContext) -> str | None:
        seen.append(context.notes)
        return f"sent to {EVE}"

    @tool(effect="once", reconcile=reconcile)
    async def send(context: ToolContext) -> str:
        """Send."""
        await context.note(f"queued for {CARL}, not <EMAIL_1>")
        return "sent"

    dying = Talk(CallTools(Call("send")), store=FaultyStore(store, fail_at=4), tools=[send])
    with pytest.raises(StoreUnavailable):
        await dying.chat.run("hello")
    now[0] += 31
    talk = Talk("done", store=store, tools=[send])
    talk.masker = dying.masker
    talk.assistant = Assistant(talk.model, store=store, tools=[send], context=Context(masker=dying.masker))
    dying.store = store
    (note,) = await dying.entries(ToolNoted)
    assert note.note == "queued for <EMAIL_1>, not <TEXT_1>"
    result = await talk.assistant.conversation("c", user="ann").resume()
    assert seen == [(f"queued for {CARL}, not <EMAIL_1>",)]
    assert result.tool_calls[0].text == f"sent to {EVE}"
    await dying.assert_no_leak()


async def test_a_call_of_which_nothing_can_be_found_out_is_logged_redacted(caplog: pytest.LogCaptureFixture) -> None:
    now = [1_000.0]
    store = MemoryStore(clock=lambda: now[0])

    async def reconcile(context: ToolContext) -> str | None:
        raise RuntimeError(f"{context.tool}: no {CARL}")

    @tool(effect="once", reconcile=reconcile)
    def send() -> str:
        """Send."""
        return "sent"

    with pytest.raises(StoreUnavailable):
        await Talk(CallTools(Call("send")), store=FaultyStore(store, fail_at=3), tools=[send]).chat.run("hello")
    now[0] += 31
    with caplog.at_level(logging.DEBUG):
        result = await Talk("done", store=store, tools=[send]).chat.resume()
    assert result.tool_calls[0].outcome == "unknown"
    assert "send: no <EMAIL>" in caplog.text
    assert_no_leak(caplog.records, PRIVATE)


async def test_late_results_are_masked() -> None:
    slow = Slow(f"paid by {CARL}")
    assistant = Assistant(
        ScriptedModel([CallTools(Call("pay")), "I do not know."]),
        tools=[slow.tool],
        store=slow.store,
        policies=[GivenUp(slow.begun)],
        context=Context(masker=RuleMasker(MemoryVault())),
    )
    async with assistant:
        await assistant.run("x", user="u", conversation="c")
        slow.let.set()
        stored = await slow.settled()
        (turn,) = await assistant.conversation("c", user="u").history()
    assert (stored.text, turn.tool_calls[0].text) == ("paid by <EMAIL_1>", f"paid by {CARL}")


async def test_a_long_result_is_read_again_as_it_was() -> None:
    def look() -> str:
        """Look."""
        return "\n".join(f"{number}: {BOB} and <EMAIL_7>" for number in range(300))

    def again(request: ModelRequest) -> CallTools:
        handle = last_answer(request).split('read_result("')[1].split('"')[0]
        return CallTools(Call("read_result", {"handle": handle, "page": 2}))

    settings = Settings(window=WindowSettings(max_result_tokens=400))
    talk = Talk(CallTools(Call("look")), again, "done", tools=[look], settings=settings)
    result = await talk.chat.run("hello")
    shortened, page = [call.text for call in result.tool_calls]
    assert f"{BOB} and <EMAIL_7>" in shortened
    assert f"{BOB} and <EMAIL_7>" in page
    assert "<EMAIL_1> and <TEXT_1>" in last_answer(talk.model.requests[-1])
    await talk.assert_no_leak()


async def test_an_approval_shows_values_and_is_bound_to_what_is_recorded() -> None:
    sent: list[str] = []

    @tool(needs_approval=True)
    def send(to: str) -> str:
        """Send."""
        sent.append(to)
        return "sent"

    talk = Talk(CallTools(Call("send", {"to": "<EMAIL_1>"})), "done", tools=[send], context={"raw_arguments": ["send"]})
    async with talk.chat.stream(f"Write to {BOB}") as run:
        events = [event async for event in run]
        result = await run.result()
    (asked,) = [event for event in events if isinstance(event, ApprovalRequired)]
    (call,) = result.waiting_for
    assert (asked.arguments, json.loads(call.arguments)) == ({"to": BOB}, {"to": BOB})
    assert call.digest == asked.digest
    await talk.chat.approve(call.call_id, by=EVE, digest=call.digest)
    async with talk.chat.stream_resumed() as run:
        assert (await run.result()).output == "done"
    assert sent == [BOB]
    await talk.assert_no_leak()


async def test_who_denies_a_call_is_masked() -> None:
    @tool(needs_approval=True)
    def send() -> str:
        """Send."""
        return "sent"

    talk = Talk(CallTools(Call("send")), "done", tools=[send])
    (call,) = (await talk.chat.run("hello")).waiting_for
    await talk.chat.deny(call.call_id, by=EVE)
    (decided,) = await talk.entries(ApprovalDecided)
    assert decided.by == "<EMAIL_1>"


@pytest.mark.parametrize("how", ["no masker", "the same masker", "the same masker and values"])
async def test_a_nested_assistant_s_answer_shows_values(how: str) -> None:
    inner_model = ScriptedModel([lambda request: Say(f"Known: {said(request)}")])
    talk = Talk(CallTools(Call("Ann", {"message": "Who is <EMAIL_1>?"})), lambda r: Say(last_answer(r)))
    context = None if how == "no masker" else Context(masker=talk.masker)
    raw = {"Ann"} if how == "the same masker and values" else ()
    inner = Assistant(inner_model, store=talk.store, settings=Settings(name="inner"), context=context)
    outer: Assistant[str] = Assistant(
        talk.model,
        store=talk.store,
        tools=[inner.as_tool(name="Ann", description="Ask.")],
        context=Context(masker=talk.masker, raw_arguments=raw),
    )
    async with outer:
        result = await outer.run(f"Who is {BOB}?", user="ann", conversation="c")
    assert result.output == f"Known: Who is {BOB}?"
    assert_no_leak(repr(inner_model.requests), PRIVATE)
    await talk.assert_no_leak()
    (note,) = await talk.entries(ToolNoted)
    nested = JournalReader(talk.store.for_user("ann"), note.note)  # its name has what is a private value elsewhere
    assert_no_leak(repr(await nested.read()), PRIVATE)


async def test_what_a_transactional_tool_has_done_is_undone_where_its_result_cannot_be_masked(
    tmp_path: Path,
) -> None:
    @tool(effect="transactional")
    def book(context: ToolContext) -> str:
        """Book."""
        context.connection.execute("CREATE TABLE IF NOT EXISTS booked (x)")
        context.connection.execute("INSERT INTO booked VALUES (1)")
        return f"booked for {CARL}"

    vault = FailingVault(fails_for={CARL})
    store = SQLiteStore(tmp_path / "chat.db")
    talk = Talk(CallTools(Call("book")), CallTools(Call("book")), "done", store=store, tools=[book], vault=vault)
    with pytest.raises(StoreUnavailable):
        await talk.chat.run("hello")
    vault.fails_for = ()
    result = await talk.chat.resume()
    assert result.tool_calls[0].text == f"booked for {CARL}"
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "chat.db")) as database:
        assert database.execute("SELECT count(*) FROM booked").fetchone() == (1,)
    assert_no_leak(tmp_path, PRIVATE)


async def test_what_a_call_gave_is_not_lost_when_the_run_is_left_while_it_is_masked() -> None:
    @tool(effect="once")
    def pay() -> str:
        """Pay."""
        return f"paid by {CARL}"

    vault = FailingVault()
    talk = Talk(CallTools(Call("pay")), "done", tools=[pay], vault=vault)
    vault.gate = anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(talk.chat.run, "hello")
            await vault.asked.wait()
            group.cancel_scope.cancel()
            vault.gate.set()
    (end,) = await talk.entries(ToolFinished)
    assert (end.outcome, text_of(end.content)) == ("ok", "paid by <EMAIL_1>")


async def test_values_in_the_json_of_a_result_are_masked_where_json_escapes_what_is_beside_them() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 3 + "-----END PRIVATE KEY-----"
    note = {"text": f"Card:\n{CARD}\tor\t{BOB}\n", "settings": 'password="hunter22x"', "key": key}

    @tool(effect="read")
    def notes() -> dict[str, str]:
        """Read the notes."""
        return note

    model = ScriptedModel([CallTools(Call("notes", {})), "Done."])
    with anyio.fail_after(20):
        async with Assistant(model, tools=[notes], context=Context(masker=RuleMasker(MemoryVault()))) as assistant:
            result = await assistant.run("Read them.", user="ann")

    assert_no_leak(repr(model.requests), [CARD, BOB, "hunter22x", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"])
    assert json.loads(result.tool_calls[0].text) == note

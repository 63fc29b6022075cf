"""The log has pseudonyms, as the journal does, and readers get values."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from assistant_kit import Assistant, Context, Settings, ToolContext, tool
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.event_logs.redis import RedisEventLog
from assistant_kit.integrations.streaming import Relay, RelaySettings
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import JsonObject, Part, Text
from assistant_kit.protocols.event_log import EventLog
from assistant_kit.run.result import Result
from assistant_kit.settings import RecoverySettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Say, ScriptedModel
from tests.integrations.streaming.relaying import add

pytestmark = pytest.mark.anyio

PIECES = ["Hello <EMA", "IL_", "1>", ", <", "b> and <EMAIL_1> <", "EM"]


async def test_a_reader_gets_values_and_the_log_has_none() -> None:
    log = MemoryEventLog()
    answer = Say("".join(PIECES), pieces=PIECES)
    with ScriptedModel([answer]) as model, anyio.fail_after(10):
        context = Context(masker=RuleMasker(MemoryVault()))
        assistant = Assistant(model, tools=[add], store=MemoryStore(), context=context)
        async with assistant, Relay(assistant, log) as relay:
            started = await relay.start("I am ann@example.org", user="u", conversation="c", request_id="r")
            async with relay.events(started, user="u", conversation="c") as following:
                entries = [entry async for entry in following]
            again = await relay.start("I am ann@example.org", user="u", conversation="c", request_id="r")

    stored = await log.for_user("u").read("c")
    text = "".join(str(entry.data["text"]) for entry in entries if entry.name == "token")
    assert "ann@example.org" not in repr(stored)
    assert entries[0].data["text"] == "I am ann@example.org"
    assert text == "Hello ann@example.org, <b> and ann@example.org <EM"
    assert entries[-1].data["output"] == text
    assert [entry.id for entry in entries] == [entry.id for entry in stored]
    assert again.after == started.after


class Contact(BaseModel):
    address: str


async def test_a_structured_answer_is_in_the_log_with_pseudonyms() -> None:
    log = MemoryEventLog()
    with ScriptedModel(['{"address": "<EMAIL_1>"}']) as model, anyio.fail_after(10):
        context = Context(masker=RuleMasker(MemoryVault()))
        assistant = Assistant(model, output_type=Contact, store=MemoryStore(), context=context)
        async with assistant, Relay(assistant, log) as relay:
            started = await relay.start("I am ann@example.org", user="u", conversation="c", request_id="r")
            async with relay.events(started, user="u", conversation="c") as following:
                entries = [entry async for entry in following]

    assert "ann@example.org" not in repr(await log.for_user("u").read("c"))
    assert entries[-1].data["output"] == {"address": "ann@example.org"}


ANN, BOB, CARL, DORA, EVE, FAY = (f"{name}@example.org" for name in ("ann", "bob", "carl", "dora", "eve", "fay"))
INVENTED = f"Write to {BOB}, he knows {ANN}."


@asynccontextmanager
async def event_log(kind: str, request: pytest.FixtureRequest) -> AsyncGenerator[EventLog]:
    log = (
        MemoryEventLog() if kind == "memory" else RedisEventLog(request.getfixturevalue("valkey_url"), prefix="masked")
    )
    try:
        await log.erase_user("u")
        yield log
        await log.erase_user("u")
    finally:
        await log.aclose()


@tool(effect="read")
async def ask_around(context: ToolContext) -> str:
    """Ask."""
    context.report_progress(1, 2, f"asking {CARL}")
    return f"{CARL} says no"


async def cited(result: Result[Any]) -> JsonObject:
    return {"citations": [{"source": "s", "text": f"{result.text} ({DORA})", "lines": [1, 2]}]}


@pytest.mark.parametrize("kind", ["memory", "valkey"])
async def test_the_log_holds_nothing_private_whoever_has_written_it(kind: str, request: pytest.FixtureRequest) -> None:
    pieces = ["Write to bo", "b@exam", "ple.org, he ", "knows <EMA", "IL_1>", "."]
    answer = Say("".join(pieces), pieces=pieces)
    model = ScriptedModel([CallTools(Call("ask_around")), answer])
    context = Context(masker=RuleMasker(MemoryVault()))
    async with event_log(kind, request) as log:
        assistant = Assistant(model, tools=[ask_around], store=MemoryStore(), context=context)
        with anyio.fail_after(20):
            async with assistant, Relay(assistant, log, add=cited) as relay:
                started = await relay.start(
                    f"I am {ANN}",
                    user="u",
                    conversation="c",
                    request_id="r",
                    extra={"files": [{"id": "1", "name": f"{EVE}.txt"}, {"id": "2", "name": "<EMAIL_1>"}]},
                )
                async with relay.events(started, user="u", conversation="c") as following:
                    entries = [entry async for entry in following]
        stored = await log.for_user("u").read("c")

    kept = [{"name": entry.name, "data": entry.data} for entry in stored]
    assert assert_no_leak(json.dumps(kept), [ANN, BOB, CARL, DORA, EVE]) > 0
    assert [entry.id for entry in entries] == [entry.id for entry in stored]
    assert entries[0].data["files"] == [{"id": "1", "name": f"{EVE}.txt"}, {"id": "2", "name": "<EMAIL_1>"}]
    assert [entry.data["message"] for entry in entries if entry.name == "tool_progress"] == [f"asking {CARL}"]
    assert [entry.data["text"] for entry in entries if entry.name == "tool_result"] == [f"{CARL} says no"]
    assert "".join(str(entry.data["text"]) for entry in entries if entry.name == "token") == INVENTED
    assert entries[-1].data["output"] == INVENTED
    assert entries[-1].data["citations"] == [{"source": "s", "text": f"{INVENTED} ({DORA})", "lines": [1, 2]}]


async def test_an_answer_that_the_log_has_forgotten_is_told_in_clear() -> None:
    log = MemoryEventLog()
    with ScriptedModel([Say(INVENTED.replace(ANN, "<EMAIL_1>"))]) as model, anyio.fail_after(10):
        context = Context(masker=RuleMasker(MemoryVault()))
        assistant = Assistant(model, store=MemoryStore(), context=context)
        async with assistant, Relay(assistant, log) as relay:
            await relay.start(f"I am {ANN}", user="u", conversation="c", request_id="r")
            async with relay.follow(user="u", conversation="c") as following:
                async for entry in following:
                    if entry.name == "complete":
                        break
            await log.erase_user("u")
            again = await relay.start(f"I am {ANN}", user="u", conversation="c", request_id="r")
            async with relay.events(again, user="u", conversation="c") as following:
                entries = [entry async for entry in following]

    assert [entry.name for entry in entries] == ["message", "token", "complete"]
    assert entries[0].data["text"] == f"I am {ANN}"
    assert entries[1].data["text"] == entries[2].data["output"] == INVENTED


async def test_what_is_shown_of_a_message_is_the_same_at_every_worker() -> None:
    def said(content: Sequence[Part]) -> JsonObject:
        text, note = (part.text for part in content if isinstance(part, Text))
        return {"text": text, "files": json.loads(note)}

    log, store = MemoryEventLog(), MemoryStore()
    masker = RuleMasker(MemoryVault())
    content = (Text(text=f"I am {ANN}"), Text(text=json.dumps([{"id": "f", "name": f"{FAY}.txt"}])))
    context, settings = Context(masker=masker), Settings(recovery=RecoverySettings(backoff=0.01))
    model = ScriptedModel([Delay(100_000, "never")])
    with anyio.fail_after(20):
        assistant = Assistant(model, store=store, context=context, settings=settings)
        async with assistant, Relay(assistant, log, said=said) as relay:
            started = await relay.start(content, user="u", conversation="c", request_id="r")
        await log.erase_user("u")  # so that the next one tells it from the journal
        other = Assistant(ScriptedModel(["Hello"]), store=store, context=context, settings=settings)
        async with other, Relay(other, log, said=said, settings=RelaySettings(every=0.02)) as relay:
            async with relay.events(started, user="u", conversation="c") as following:
                entries = [entry async for entry in following if entry.name != "reset"]
            stored = await log.for_user("u").read("c")
            await log.erase_user("u")
            again = await relay.start(content, user="u", conversation="c", request_id="r")

    assert entries[0].data == {"request_id": "r", "text": f"I am {ANN}", "files": [{"id": "f", "name": f"{FAY}.txt"}]}
    assert_no_leak(repr(stored), [ANN, FAY])
    assert again.recorded[0].data == stored[0].data

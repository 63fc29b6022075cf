"""The log has pseudonyms, as the journal does, and readers get values."""

import anyio
import pytest
from pydantic import BaseModel

from assistant_kit import Assistant, Context
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import Relay
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Say, ScriptedModel
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

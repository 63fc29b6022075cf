"""A turn of a masked assistant: private values reach no file, log, span or provider, and the reader sees them all."""

import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after

from assistant_kit import Assistant, Context
from assistant_kit.errors import ToolError
from assistant_kit.events import Complete, Event, Token, ToolProgress, ToolRequest, ToolResult
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.messages import File
from assistant_kit.observers.logging import LoggingObserver
from assistant_kit.observers.observing import observed
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.run.stream import RunStream
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel
from assistant_kit.toolsets.functions import FunctionTool, tool
from tests.end_to_end.talking import WIRES, Way, assert_all_accepted, model_for, talk
from tests.observers.collected import Collected
from tests.openai_server import Answer, OpenAIServer
from tests.openai_server import Call as ServerCall

pytestmark = pytest.mark.anyio

BOB, EVE, DAN, CARL = "bob@example.org", "eve@example.net", "dan@example.com", "carl@example.org"
CARD, IBAN, PHONE, IP = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "+49 30 901820", "192.0.2.77"
KEY = "sk-proj-Zx81mQ0pLr5Vt7Yw3Nc9Bd2Fg6Hj4Ks"
PRIVATE = (BOB, EVE, DAN, CARL, CARD, IBAN, PHONE, IP, KEY)
QUESTION = f"Write to {BOB}, pay {CARD}, from {IBAN}. Call {PHONE}. My key: {KEY}"
ANSWER = f"Done: I wrote to <EMAIL_1> and {CARL}, and heard of <EMAIL_2> from {IP}. <CARD_1> is fine; 2 < 3 <B."
SEEN = f"Done: I wrote to {BOB} and {CARL}, and heard of {DAN} from {IP}. {CARD} is fine; 2 < 3 <B."


def service(given: list[str]) -> list[FunctionTool[..., Any]]:
    """Tools that say private things, and keep what they were given."""

    @tool(effect="read")
    async def look_up(who: str, context: ToolContext) -> str:
        """Look somebody up."""
        given.append(who)
        await context.note(f"asked about {DAN}")
        context.report_progress(1, 2, f"asking {who}, then {DAN}")
        return f"{who} knows {EVE} at {IP}; a page says <CARD_1>"

    @tool(effect="once")
    async def send(to: str) -> str:
        """Send a letter."""
        given.append(to)
        raise ToolError(f"{to} and {DAN} are not there")

    @tool(effect="read")
    async def broken() -> str:
        """Fail."""
        raise RuntimeError(f"no row for {DAN}")

    return [look_up, send, broken]


def script() -> ScriptedModel:
    cuts = [0, 20, 23, 33, 50, 75, len(ANSWER)]
    pieces = [ANSWER[begin:end] for begin, end in pairwise(cuts)]
    return ScriptedModel(
        [
            CallTools(Call("look_up", {"who": "<EMAIL_1>"}), Call("send", {"to": "<EMAIL_1>"}), Call("broken")),
            Say(ANSWER, pieces=pieces),
        ]
    )


async def read(run: RunStream[str]) -> list[Event]:
    with fail_after(10):
        async with run:
            return [event async for event in run]


async def test_private_values_are_in_no_file_log_span_or_request_and_the_reader_sees_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told, model = Collected(), script()
    given: list[str] = []
    keys = tmp_path / "keys"
    keys.write_text(MasterKeys.generate("2026-11"))
    data = tmp_path / "data"
    data.mkdir()
    vault = StoreVault(EncryptedStore(SQLiteStore(data / "vault.db"), MasterKeys.from_file(keys)))
    watching = observed([Retry()], LoggingObserver(content=True, users=True), told.observer(content=True))
    assistant = Assistant(
        model,
        tools=service(given),
        store=SQLiteStore(data / "chat.db"),
        policies=watching,
        context=Context(masker=RuleMasker(vault), raw_arguments={"send"}),
    )
    text_file = File(data=f"Her address: {DAN}".encode(), filename=f"{DAN}.txt", media_type="text/plain")
    async with assistant:
        chat = assistant.conversation("c1", user="ann")
        events = await read(chat.stream([QUESTION, text_file], request_id="r1"))
        again = await read(chat.stream([QUESTION, text_file], request_id="r1"))
        result = await chat.run([QUESTION, text_file], request_id="r1")
        (turn,) = await chat.history()
        await chat.rename(f"About {DAN}")
        (listed,) = await assistant.conversations(user="ann")
        assert listed.title == f"About {DAN}"

    assert "".join(event.text for event in events if isinstance(event, Token)) == SEEN
    assert "".join(event.text for event in again if isinstance(event, Token)) == SEEN
    ends = [event.output for event in (events[-1], again[-1]) if isinstance(event, Complete)]
    assert [*ends, result.output, result.text, turn.text] == [SEEN] * 5
    assert sorted(given) == ["<EMAIL_1>", BOB]
    assert [event.arguments for event in events if isinstance(event, ToolRequest)] == [{"who": BOB}, {"to": BOB}, {}]
    assert [event.message for event in events if isinstance(event, ToolProgress)] == [f"asking {BOB}, then {DAN}"]
    results = {event.tool: event.text for event in events if isinstance(event, ToolResult)}
    assert results["look_up"] == f"{BOB} knows {EVE} at {IP}; a page says <CARD_1>"
    assert results["send"] == f"{BOB} and {DAN} are not there"
    assert turn.input == QUESTION
    assert turn.content[1] == text_file
    assert [call.text for call in turn.tool_calls] == [results["look_up"], results["send"], results["broken"]]
    assert [call.text for call in result.tool_calls] == [call.text for call in turn.tool_calls]

    assert_no_leak([data, caplog.records, told.spans.get_finished_spans(), repr(model.requests)], PRIVATE)
    assert "<EMAIL_1>" in repr(model.requests)
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("way", WIRES, ids=str)
async def test_over_http_a_strict_provider_gets_pseudonyms_and_takes_them(
    way: Way, server: OpenAIServer, tmp_path: Path
) -> None:
    async def look_up(who: str) -> str:
        """Look somebody up."""
        return f"{who} lives with {EVE}"

    calls = (ServerCall("look_up", {"who": "<EMAIL_1>"}), ServerCall("look_up", {"who": CARL}))
    server.script([Answer(reasoning="of <EMAIL_1>", tool_calls=calls), Answer(f"To <EMAIL_1>, {DAN}"), Answer("Bye")])
    masker = RuleMasker(MemoryVault())
    model = model_for(way, server)
    assistant = Assistant(
        model, tools=[look_up], store=f"sqlite:///{tmp_path}/chat.db", policies=[], context=Context(masker=masker)
    )
    with fail_after(10):
        async with assistant:
            first = await talk(assistant, way, QUESTION)
            second = await talk(assistant, way, "Thanks")
        await model.aclose()
    assert (first.output, second.output) == (f"To {BOB}, {DAN}", "Bye")
    assert [call.text for call in first.tool_calls] == [f"{BOB} lives with {EVE}", f"{CARL} lives with {EVE}"]
    assert_all_accepted(server)
    assert_no_leak([tmp_path, *[json.dumps(request.body) for request in server.requests]], PRIVATE)

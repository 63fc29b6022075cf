"""What another model, another wire format or another door makes of a conversation that is there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import OutputInvalid
from assistant_kit.run.history import HistoryTurn
from assistant_kit.toolsets.functions import tool
from tests.end_to_end.talking import (
    IMPATIENT,
    KEY,
    WAYS,
    WIRES,
    Way,
    assert_all_accepted,
    events_of,
    items,
    model_for,
    opened,
    talk,
    tool_texts,
)
from tests.openai_server import Answer, Behaviour, Call, OpenAIServer

pytestmark = pytest.mark.anyio


@tool(effect="read")
async def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"rain in {city}"


def calling(city: str) -> Answer:
    return Answer(reasoning="think", tool_calls=(Call("weather", {"city": city}), Call("weather", {"city": "Rome"})))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("order", [("chat", "responses", "chat"), ("responses", "chat", "responses")])
async def test_a_conversation_goes_on_over_the_other_wire_format(
    server: OpenAIServer, tmp_path: Path, order: tuple[Any, ...], *, streamed: bool
) -> None:
    history: Sequence[HistoryTurn] = ()
    for number, wire in enumerate(order):
        way = Way(wire, streamed)
        async with opened(server, way, tmp_path, tools=[weather]) as assistant:
            server.script([calling(f"city {number}"), Answer(f"answer {number}", reasoning="so")])
            await talk(assistant, way, f"question {number}")
            history = await assistant.conversation("c", user="u").history()
    assert_all_accepted(server)
    assert [request.route for request in server.requests] == [wire for wire in order for _ in range(2)]
    last = server.requests[-1]
    assert tool_texts(last) == [text for n in range(3) for text in (f"rain in city {n}", "rain in Rome")]
    said = last.raw.decode()
    assert all(f"question {number}" in said for number in range(3))
    assert [turn.text for turn in history] == ["answer 0", "answer 1", "answer 2"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_without_responses_is_asked_by_chat_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, streamed: bool
) -> None:
    way = Way("named", streamed)
    with OpenAIServer(Behaviour(responses=False)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with opened(server, way, tmp_path, tools=[weather]) as assistant:
            server.script([calling("Oslo"), Answer("Rain."), Answer("Bye.")])
            first = await talk(assistant, way, "Rain?")
            second = await talk(assistant, way, "Thanks")
    assert (first.output, second.output) == ("Rain.", "Bye.")
    assert [request.route for request in server.requests] == [None, "chat", "chat", "chat"]
    assert first.usage.requests == 2
    assert_all_accepted(server)


async def test_a_conversation_of_responses_goes_on_with_a_server_that_has_only_chat(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Way("named", streamed=True)
    async with opened(server, way, tmp_path, tools=[weather]) as assistant:
        server.script([calling("Oslo"), Answer("Rain.", reasoning="so")])
        await talk(assistant, way, "Rain?")
    with OpenAIServer(Behaviour(responses=False)) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url)
        async with opened(other, way, tmp_path, tools=[weather]) as assistant:
            assert (await talk(assistant, way, "Thanks")).output == "ok"
    assert [message["role"] for message in items(other.requests[1])] == [
        "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    assert_all_accepted(other)


@dataclass
class Trip:
    city: str
    days: int


def planner(server: OpenAIServer, way: Way, folder: Path) -> Assistant[Trip]:
    return Assistant(
        model_for(way, server), output_type=Trip, store=f"sqlite:///{folder}/journal.db", policies=IMPATIENT
    )


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_answer_that_does_not_fit_is_repaired_in_one_round(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    wrong, right = '{"city": "Oslo"}', '{"city": "Oslo", "days": 3}'
    async with planner(server, way, tmp_path) as assistant:
        server.script([Answer(wrong, reasoning="hm"), Answer(right), Answer(right)])
        result = await talk(assistant, way, "Plan a trip")
        await talk(assistant, way, "Again")
        await assistant.model.aclose()
    assert result.output == Trip(city="Oslo", days=3)
    assert result.usage.requests == 2
    assert_all_accepted(server)
    asked, repaired, later = server.requests
    told = items(repaired)[-1] if way.wire == "responses" else repaired.body["messages"][-1]
    assert told["role"] == ("developer" if way.wire == "responses" else "system")
    assert "days" in told["content"]
    assert asked.body.get("text", asked.body.get("response_format")) is not None
    said: list[Any] = later.body["input" if way.wire == "responses" else "messages"]
    assert len(said) == 5 + (way.wire == "responses")  # both answers, what was told between, and the reasoning


@pytest.mark.parametrize("way", WIRES, ids=str)
async def test_an_answer_that_does_not_fit_twice_is_an_error_with_its_text(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    async with planner(server, way, tmp_path) as assistant:
        server.script([Answer("no JSON"), Answer("still no JSON"), Answer('{"city": "Oslo", "days": 1}')])
        with pytest.raises(OutputInvalid) as caught:
            await talk(assistant, way, "Plan a trip")
        after = await talk(assistant, way, "Try again")
        history = await assistant.conversation("c", user="u").history()
        await assistant.model.aclose()
    assert caught.value.text == "still no JSON"
    assert after.output == Trip(city="Oslo", days=1)
    assert [(turn.outcome, turn.usage.requests) for turn in history] == [("failed", 2), ("completed", 1)]
    assert_all_accepted(server)


async def test_a_reader_is_told_that_the_text_to_be_repaired_does_not_count(
    server: OpenAIServer, tmp_path: Path
) -> None:
    async with planner(server, Way("responses", streamed=True), tmp_path) as assistant:
        server.script([Answer("oh no", pieces=1), Answer('{"city": "Oslo", "days": 3}', pieces=1)])
        events = await events_of(assistant, "Plan a trip")
        await assistant.model.aclose()
    assert [event.kind for event in events] == ["token", "text_retracted", "token", "complete"]
    assert events[1].kind == "text_retracted"
    assert events[1].text == "oh no"


@pytest.mark.parametrize("has_responses", [True, False])
def test_the_sync_door_leads_through_http_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_responses: bool
) -> None:
    with OpenAIServer(Behaviour(responses=has_responses)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        server.script([calling("Oslo"), Answer("Rain."), Answer("Bye.", pieces=("By", "e."))])
        assistant = Assistant("openai:m", tools=[weather], store=f"sqlite:///{tmp_path}/journal.db")
        with assistant.sync as sync:
            assert sync.run("Rain?", user="u", conversation="c").output == "Rain."
            with sync.stream("Thanks", user="u", conversation="c") as run:
                kinds = [event.kind for event in run]
                assert run.result().output == "Bye."
    assert kinds == ["token", "token", "complete"]
    assert_all_accepted(server)
    assert [request.route for request in server.requests if request.route] == [
        "responses" if has_responses else "chat"
    ] * 3


async def test_a_model_is_named_by_the_environment_alone(server: OpenAIServer) -> None:
    with anyio.fail_after(5):
        async with Assistant("openai:m") as assistant:
            assert (await assistant.run("hello")).output == "ok"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].body["model"] == "m"

"""The same service with the OpenAI Agents SDK as its engine, which asks a server that stands in for the provider."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from examples.todo_chatbot.assistant import BASIC_MODE, RUN
from examples.todo_chatbot.settings import LimitSettings, Settings, SettingsError, read_settings
from tests.examples.todo.service import Running, events_of, running, settings_in
from tests.openai_server import Answer, Call, OpenAIServer, Status, Usage

pytestmark = pytest.mark.anyio

TWO_STEPS = [Answer(tool_calls=(Call("add_task", {"title": "milk"}),)), Answer("I have added milk.")]


@asynccontextmanager
async def _driven(server: OpenAIServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Running]:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    async with running(replace(settings, engine="openai-agents", model="openai:large")) as service:
        yield service


async def test_it_answers_with_the_same_tools_and_the_same_rows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer() as server:
        server.script([*TWO_STEPS, Answer("You are welcome.")])
        async with _driven(server, settings, monkeypatch) as service:
            ann = await service.person()
            answer = await ann.chat("we are out of milk")
            number = answer["conversation_id"]
            assert answer == {
                "conversation_id": number,
                "response": "I have added milk.",
                "tool_calls": ["add_task"],
            }
            assert await ann.titles() == ["milk"]
            assert (await ann.chat("thanks", number))["response"] == "You are welcome."
            assert "we are out of milk" in json.dumps(server.requests[-1].body)
            assert await ann.said(number) == [
                ("user", "we are out of milk"),
                ("assistant", "I have added milk."),
                ("user", "thanks"),
                ("assistant", "You are welcome."),
            ]
            assert (await service.http.get("/health")).json()["assistant"] == "ok"
            assert (await ann.ask("DELETE", "")).status_code == 204
            assert await service.parts.assistant.conversations(user=ann.id) == ()


async def test_it_streams_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        server.script(TWO_STEPS)
        async with _driven(server, settings_in(tmp_path), monkeypatch) as service:
            ann = await service.person()
            text = (await ann.ask("POST", "/chat/stream", {"message": "we are out of milk"})).text
            names = [line.partition(": ")[2] for line in text.split("\n") if line.startswith("event: ")]
            assert names[:3] == ["conversation", "tool_request", "tool_result"]
            assert set(names[3:-1]) == {"token"}
            assert names[-1] == "complete"


async def test_a_run_that_fails_is_an_error_and_the_conversation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer() as server:
        server.script([Status(401), Answer("Hello.")])
        async with _driven(server, settings_in(tmp_path), monkeypatch) as service:
            ann = await service.person()
            answer = await ann.ask("POST", "/chat", {"message": "hello"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_answer")
            number = (await ann.get("/conversations"))[0]["id"]
            (turn,) = await service.parts.assistant.conversation(str(number), user=ann.id).history()
            assert turn.outcome == "cancelled"  # else an assistant would leave the conversation alone
            assert (await ann.chat("hello again", number))["response"] == "Hello."
            assert await ann.said(number) == [("user", "hello"), ("user", "hello again"), ("assistant", "Hello.")]


async def test_who_has_used_up_a_day_is_answered_by_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path, limits=LimitSettings(requests_per_minute=1000, tokens_per_day=20_000))
    with OpenAIServer() as server:
        server.script([Answer("Hello.", usage=Usage(input=15_000, output=1)), Answer("Hi.")])
        async with _driven(server, settings, monkeypatch) as service:
            ann, bob = await service.person(), await service.person()
            assert (await ann.chat("hello"))["response"] == "Hello."
            answer = await ann.chat("add milk to my list")
            assert (answer["response"], answer["tool_calls"]) == (f"{BASIC_MODE}Added: milk.", ["add_task"])
            assert (await bob.chat("hello"))["response"] == "Hi."


async def test_it_does_not_promise_to_answer_once_under_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        async with _driven(server, settings_in(tmp_path), monkeypatch) as service:
            ann = await service.person()
            answer = await ann.ask("POST", "/chat", {"message": "hello"}, key="k1")
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
            assert await ann.get("/conversations") == []


def test_it_is_chosen_by_the_environment(tmp_path: Path) -> None:
    environment = {"TODO_DATA": str(tmp_path), "ENGINE": "openai-agents"}
    assert read_settings({**environment, "OPENAI_API_KEY": "x"}).engine == "openai-agents"
    for wrong in (environment, {**environment, "ENGINE": "another"}):
        with pytest.raises(SettingsError):
            read_settings(wrong)


async def test_a_run_of_too_many_steps_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        server.script([Answer(tool_calls=(Call("list_tasks", {}),))] * RUN.max_steps)
        async with _driven(server, settings_in(tmp_path), monkeypatch) as service:
            ann = await service.person()
            answer = await ann.ask("POST", "/chat", {"message": "hello"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "too_long")


async def test_arguments_that_are_no_json_are_shown_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as server:
        server.script([Answer(tool_calls=(Call("list_tasks", "{"),)), Answer("Sorry.")])
        async with _driven(server, settings_in(tmp_path), monkeypatch) as service:
            ann = await service.person()
            events = events_of((await ann.ask("POST", "/chat/stream", {"message": "hello"})).text)
            told = {name: data for _, name, data in events}
            assert told["tool_request"]["arguments"] is None
            assert told["complete"]["output"] == "Sorry."

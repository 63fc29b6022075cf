"""Reading an answer as it comes."""

from pathlib import Path
from threading import Event

import anyio
import httpx2
import pytest

from assistant_kit import ModelUnauthorized, ModelUnavailable
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.testing.scripted_model import Delay, Fail, Say, ScriptedModel, Step
from examples.todo_chatbot.assistant import BASIC_MODE
from tests.examples.todo.service import Person, events_of, quick_app, running, served, settings_in, sign_up

pytestmark = pytest.mark.anyio

ADD = "add milk to my list"


async def test_events_are_those_of_the_run_with_numbers(ann: Person) -> None:
    answer = await ann.ask("POST", "/chat/stream", {"message": ADD})
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = events_of(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    number = (await ann.get("/conversations"))[0]["id"]
    assert events[0][1:] == ("conversation", {"conversation_id": number})
    assert events[1][1:] == ("tool_request", {"call_id": "call_1", "tool": "add_task", "arguments": {"title": "milk"}})
    assert (events[2][1], events[2][2]["tool"], events[2][2]["outcome"]) == ("tool_result", "add_task", "ok")
    assert "".join(data["text"] for _, name, data in events if name == "token") == "Added: milk."
    assert events[-1][1] == "complete"
    assert (events[-1][2]["output"], events[-1][2]["status"]) == ("Added: milk.", "completed")
    assert await ann.said(number) == [("user", ADD), ("assistant", "Added: milk.")]


async def test_a_repeated_stream_has_the_recorded_answer(ann: Person) -> None:
    streams = [events_of((await ann.ask("POST", "/chat/stream", {"message": ADD}, key="k1")).text) for _ in range(2)]
    assert [(events[0][2], events[-1][2]["output"]) for events in streams] == [(streams[0][0][2], "Added: milk.")] * 2
    assert (await ann.chat(ADD, key="k1"))["response"] == "Added: milk."
    assert await ann.titles() == ["milk"]


async def test_what_is_wrong_with_the_request_is_told_before_the_stream(bob: Person) -> None:
    answer = await bob.ask("POST", "/chat/stream", {"conversation_id": 10**9, "message": "hello"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    answer = await bob.ask("POST", "/chat/stream", {"message": ""})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelUnauthorized("the key sk-1 is wrong", model="large"), "no_answer"),
        (ValueError("a bug of ours, with the key sk-1"), "failed"),
    ],
)
async def test_a_run_that_fails_ends_its_stream_with_an_error(tmp_path: Path, error: Exception, code: str) -> None:
    async with running(settings_in(tmp_path), model=ScriptedModel([Fail(error)], name="large")) as service:
        ann = await service.person()
        answer = await ann.ask("POST", "/chat/stream", {"message": "hello"})
        events = events_of(answer.text)
        assert [name for _, name, _ in events] == ["conversation", "error"]
        assert events[-1][2]["error"]["code"] == code
        assert "sk-1" not in answer.text


async def test_a_change_of_model_is_told_without_its_details(tmp_path: Path) -> None:
    failure = ModelUnavailable("the key sk-1 is over its limit", model="large", should_retry=False)
    async with running(settings_in(tmp_path), model=ScriptedModel([Fail(failure)], name="large")) as service:
        ann = await service.person()
        answer = await ann.ask("POST", "/chat/stream", {"message": "hello"})
        events = events_of(answer.text)
        told = {name: data for _, name, data in events}["fell_back"]
        assert (told["to"], told["reason"], told["error"]["code"]) == ("todo-rules", "outage", "no_answer")
        assert "sk-1" not in answer.text
        assert events[-1][2]["output"].startswith(BASIC_MODE)


async def test_who_leaves_ends_the_run(tmp_path: Path) -> None:
    asked = Event()

    def wait(_: ModelRequest) -> Step:
        asked.set()
        return Delay(60, Say("too late"))

    model = ScriptedModel([wait, Say("Hello.")], name="large")
    with anyio.fail_after(20), served(quick_app(settings_in(tmp_path), model=model)) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
            ann = await sign_up(http, "ann@example.org")
            body = {"message": "hello"}
            async with http.stream("POST", ann.url("/chat/stream"), json=body, headers=ann.headers) as answer:
                assert answer.status_code == 200
                assert await anyio.to_thread.run_sync(asked.wait, 20)
            number = (await ann.get("/conversations"))[0]["id"]
            assert (await ann.chat("are you there?", number))["response"] == "Hello."
            assert await ann.said(number) == [("user", "hello"), ("user", "are you there?"), ("assistant", "Hello.")]

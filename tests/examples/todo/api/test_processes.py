"""Several servers on one database: nothing is kept in the memory of one of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import anyio
import pytest

from assistant_kit.testing.scripted_model import Say, ScriptedModel
from assistant_kit.usage import Usage
from examples.todo_chatbot.assistant import BASIC_MODE
from examples.todo_chatbot.settings import LimitSettings, Settings
from tests.examples.todo.service import Person, Running, running

pytestmark = pytest.mark.anyio

ADD = "add milk to my list"


@pytest.fixture(scope="module")
async def two(anyio_backend: str, settings: Settings) -> AsyncIterator[Sequence[Running]]:
    """Two servers."""
    del anyio_backend
    async with running(settings) as first, running(settings) as second:
        yield first, second


async def test_they_take_turns_in_a_conversation(two: Sequence[Running]) -> None:
    ann = await two[0].person()
    there = replace(ann, http=two[1].http)
    number = (await ann.chat(ADD))["conversation_id"]
    assert (await there.chat("complete it", number))["response"] == "Done: milk."
    assert (await ann.chat("rename milk to oat milk", number))["tool_calls"][-1] == "update_task"
    assert await there.titles() == ["oat milk"]
    assert len(await there.said(number)) == 6


async def test_a_message_that_is_sent_to_both_is_answered_once(two: Sequence[Running]) -> None:
    ann = await two[0].person()
    answers: list[Any] = []

    async def send(person: Person) -> None:
        answers.append(await person.chat(ADD, key="k1"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for service in (*two, *two):
                group.start_soon(send, replace(ann, http=service.http))
    assert answers[0]["response"] == "Added: milk."
    assert answers == [answers[0]] * 4
    assert await ann.titles() == ["milk"]
    assert len(await ann.get("/conversations")) == 1


async def test_who_logs_in_here_is_logged_in_there(two: Sequence[Running]) -> None:
    ann = await two[0].person()
    answer = await two[1].http.post("/api/auth/refresh", json={"refresh_token": ann.refresh_token})
    assert (await replace(ann, token=answer.json()["access_token"]).get("/tasks")) == []
    answer = await two[0].http.post("/api/auth/refresh", json={"refresh_token": ann.refresh_token})
    assert answer.status_code == 401


async def test_they_count_messages_together(settings: Settings) -> None:
    limited = replace(settings, limits=LimitSettings(requests_per_minute=2))
    async with running(limited) as first, running(limited) as second:
        ann, bob = await first.person(), await second.person()
        there = replace(ann, http=second.http)
        answers = [await person.ask("POST", "/chat", {"message": "hello"}) for person in (ann, there) * 3]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused  # a minute may end once between them, and not twice
        assert refused[0].json()["error"]["code"] == "too_many_requests"
        assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
        assert len(await ann.get("/conversations")) == 6 - len(refused)
        assert (await bob.chat("hello"))["response"]


async def test_they_count_the_tokens_of_a_day_together(settings: Settings) -> None:
    limited = replace(settings, limits=LimitSettings(tokens_per_day=20_000, requests_per_minute=1000))
    spent = Usage(requests=1, input_tokens=20_000, output_tokens=1)
    async with AsyncExitStack() as stack:
        models = [ScriptedModel([Say("Hello.", usage=spent)] * 2, name="large") for _ in range(2)]
        first, second = [await stack.enter_async_context(running(limited, model=model)) for model in models]
        ann, bob = await first.person(), await second.person()
        there = replace(ann, http=second.http)
        assert (await ann.chat("hello"))["response"] == "Hello."
        assert (await there.chat(ADD))["response"] == f"{BASIC_MODE}Added: milk."
        assert (await bob.chat("hello"))["response"] == "Hello."

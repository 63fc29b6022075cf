"""Talking with the assistant over HTTP."""

from typing import Any

import anyio
import pytest
from dirty_equals import IsInt

from examples.todo_chatbot.api.chat import LONGEST_MESSAGE
from tests.examples.todo.service import Person, Running

pytestmark = pytest.mark.anyio

ADD = "add milk to my list"


async def test_a_message_gets_exactly_an_answer_its_conversation_and_the_tools_that_were_called(ann: Person) -> None:
    answer = await ann.ask("POST", "/chat", {"conversation_id": None, "message": ADD})
    assert answer.status_code == 200
    assert answer.json() == {"conversation_id": IsInt, "response": "Added: milk.", "tool_calls": ["add_task"]}
    assert await ann.titles() == ["milk"]


async def test_a_conversation_goes_on(ann: Person) -> None:
    number = (await ann.chat(ADD))["conversation_id"]
    answer = await ann.chat("complete it", number)
    assert answer == {"conversation_id": number, "response": "Done: milk.", "tool_calls": ["complete_task"]}
    assert await ann.said(number) == [
        ("user", ADD),
        ("assistant", "Added: milk."),
        ("user", "complete it"),
        ("assistant", "Done: milk."),
    ]


async def test_each_message_without_a_conversation_begins_one(ann: Person) -> None:
    numbers = [(await ann.chat("hello"))["conversation_id"] for _ in range(2)]
    assert [one["id"] for one in await ann.get("/conversations")] == sorted(numbers, reverse=True)


@pytest.mark.parametrize("number", [0, -1, 10**9, 2**31, 2**63, 10**30])
async def test_a_conversation_that_is_not_there_is_not_found(bob: Person, number: int) -> None:
    answer = await bob.ask("POST", "/chat", {"conversation_id": number, "message": "hello"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"message": ""},
        {"message": " \n"},
        {"message": "x" * (LONGEST_MESSAGE + 1)},
        {"message": "a\0b"},
        {"message": None},
        {"message": ["hello"]},
        {"conversation_id": "one", "message": "hello"},
        {"conversation_id": 1.5, "message": "hello"},
        {"conversation_id": None},
        {"message": "hello", "user": "somebody"},
        [],
    ],
)
async def test_what_is_no_message_is_invalid_and_begins_nothing(bob: Person, body: Any) -> None:
    before = await bob.get("/conversations")
    answer = await bob.ask("POST", "/chat", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert await bob.get("/conversations") == before


async def test_the_longest_message_is_heard(bob: Person) -> None:
    message = "x" * LONGEST_MESSAGE
    answer = await bob.chat(message)
    assert (await bob.said(answer["conversation_id"]))[0] == ("user", message)


async def test_the_same_message_under_one_key_is_answered_once_and_in_one_conversation(ann: Person) -> None:
    answers = [await ann.chat(ADD, key="k1") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert await ann.titles() == ["milk"]
    assert len(await ann.get("/conversations")) == 1
    assert len(await ann.said(answers[0]["conversation_id"])) == 2


async def test_the_same_message_sent_several_times_at_once_is_answered_once(ann: Person) -> None:
    answers: list[Any] = []

    async def send() -> None:
        answers.append(await ann.chat(ADD, key="k1"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(send)
    assert all(answer == answers[0] for answer in answers)
    assert await ann.titles() == ["milk"]
    assert len(await ann.get("/conversations")) == 1


async def test_a_key_stands_for_one_message(ann: Person) -> None:
    number = (await ann.chat(ADD, key="k1"))["conversation_id"]
    for body in (
        {"conversation_id": None, "message": "add bread to my list"},
        {"conversation_id": number, "message": ADD},
    ):
        answer = await ann.ask("POST", "/chat", body, key="k1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert await ann.titles() == ["milk"]


async def test_keys_of_users_are_apart(ann: Person, bob: Person) -> None:
    mine, theirs = await ann.chat(ADD, key="shared"), await bob.chat(ADD, key="shared")
    assert mine["conversation_id"] != theirs["conversation_id"]
    assert await ann.titles() == ["milk"]


async def test_a_message_whose_conversation_was_deleted_does_not_begin_another_one(ann: Person) -> None:
    number = (await ann.chat(ADD, key="k1"))["conversation_id"]
    assert (await ann.ask("DELETE", f"/conversations/{number}")).status_code == 204
    answer = await ann.ask("POST", "/chat", {"conversation_id": None, "message": ADD}, key="k1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert await ann.get("/conversations") == []


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 101, "ä"])
async def test_a_key_is_a_short_word(bob: Person, key: str) -> None:
    named = {**bob.headers, "Idempotency-Key": key}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    answer = await bob.http.post(bob.url("/chat"), json={"message": "hello"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


async def test_a_conversation_that_another_worker_holds_is_not_deleted(service: Running, ann: Person) -> None:
    number = (await ann.chat("hello"))["conversation_id"]
    store = service.parts.store.for_user(ann.id)
    lease = await store.claim(str(number), owner="another worker", ttl=60)
    answer = await ann.ask("DELETE", f"/conversations/{number}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "busy")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    await store.release(lease)
    assert (await ann.ask("DELETE", f"/conversations/{number}")).status_code == 204

"""The conversations of a user."""

from pathlib import Path

import pytest

from assistant_kit.testing import Call, CallTools, ScriptedModel
from tests.examples.web.orchestrator.world import Person, running, text_of

pytestmark = pytest.mark.anyio


async def test_a_conversation_begins_empty_and_is_listed(ann: Person) -> None:
    answer = await ann.ask("POST", "/conversations", json={"title": "Plans for ann@example.org"})
    made = answer.json()
    assert set(made) == {"id", "title", "created_at", "updated_at"}
    assert made["title"] == "Plans for ann@example.org"
    shown = await ann.get(f"/conversations/{made['id']}")
    assert (shown["turns"], shown["pending"], shown["running"]) == ([], [], False)
    assert (await ann.get("/conversations"))["conversations"] == [made]


async def test_the_newest_come_first_and_in_pages(ann: Person) -> None:
    made = [await ann.begin(f"number {number}") for number in range(3)]
    first = (await ann.get("/conversations?limit=2"))["conversations"]
    rest = (await ann.ask("GET", "/conversations", params={"before": first[-1]["updated_at"]})).json()["conversations"]
    assert [one["id"] for one in (*first, *rest)] == made[::-1]


async def test_it_takes_its_title_from_the_first_message_unless_it_has_one(ann: Person) -> None:
    untitled, titled = await ann.begin(), await ann.begin("Mine")
    for conversation in (untitled, titled):
        await ann.say(conversation, "Hello there!")
    assert (await ann.get(f"/conversations/{untitled}"))["title"] == "Hello there!"
    assert (await ann.get(f"/conversations/{titled}"))["title"] == "Mine"
    answer = await ann.ask("PATCH", f"/conversations/{untitled}", json={"title": "Greetings"})
    assert (answer.status_code, answer.json()["title"]) == (200, "Greetings")


async def test_a_turn_is_shown_as_it_was_told_under_the_key_of_its_message(tmp_path: Path, valkey_url: str) -> None:
    asks = [Call(name, {}, call_id=name) for name in ("first", "second")]
    model = ScriptedModel([CallTools(*asks, text="I look. "), CallTools(asks[0], text="Once more. "), "It is far."])
    async with running(tmp_path, valkey_url, model=model) as world:
        ann = world.person()
        conversation = await ann.begin()
        told = await ann.say(conversation, "How far?", key="k1")
        (turn,) = (await ann.get(f"/conversations/{conversation}"))["turns"]

    steps = [(step["text"], [tool["call_id"] for tool in step["tools"]]) for step in turn["steps"]]
    assert steps == [("I look. ", ["first", "second"]), ("Once more. ", ["first"]), ("It is far.", [])]
    assert "".join(text for text, _ in steps) == text_of(told)
    assert [tool for step in turn["steps"] for tool in step["tools"]] == turn["tools"]
    assert (turn["text"], turn["request_id"]) == ("It is far.", "k1")


async def test_a_deleted_conversation_is_gone(ann: Person) -> None:
    conversation = await ann.begin()
    assert text_of(await ann.say(conversation, "count to 3")) == "1 2 3"
    assert (await ann.ask("DELETE", f"/conversations/{conversation}")).status_code == 204
    assert (await ann.ask("GET", f"/conversations/{conversation}")).status_code == 404
    assert (await ann.get("/conversations"))["conversations"] == []


async def test_what_is_another_users_is_what_does_not_exist(ann: Person, bob: Person) -> None:
    conversation = await ann.begin("secret")
    await ann.say(conversation, "count to 3")
    path = f"/conversations/{conversation}"
    headers = {"Idempotency-Key": "k"}
    for method, place, body in (
        ("GET", path, None),
        ("PATCH", path, {"title": "mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/messages", {"text": "hello"}),
        ("GET", f"{path}/events", None),
        ("POST", f"{path}/stop", None),
        ("POST", f"{path}/approvals/call_1", {"approve": True, "digest": "d"}),
    ):
        answer = await bob.ask(method, place, json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, place)
    assert (await bob.get("/conversations"))["conversations"] == []
    assert (await ann.get(path))["title"] == "secret"

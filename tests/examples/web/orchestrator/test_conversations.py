"""The conversations of a user."""

import pytest

from tests.examples.web.orchestrator.world import Person, text_of

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

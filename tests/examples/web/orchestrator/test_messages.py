"""Talking with the assistant."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from assistant_kit.testing.scripted_model import ScriptedModel
from tests.examples.web.orchestrator.world import Person, Sent, running, text_of

pytestmark = pytest.mark.anyio


def names(events: Sequence[Sent]) -> list[str]:
    """Return the names of events, tokens once."""
    found = [event.name for event in events]
    return [name for place, name in enumerate(found) if name != "token" or found[place - 1] != "token"]


async def test_an_answer_streams(ann: Person) -> None:
    conversation = await ann.begin()
    events = await ann.say(conversation, "count to 5", key="k")
    assert names(events) == ["message", "token", "complete"]
    assert events[0].data == {"request_id": "k", "text": "count to 5", "files": []}
    assert text_of(events) == "1 2 3 4 5"
    assert [event.id for event in events] == list(range(events[0].id, events[0].id + len(events)))
    assert (events[-1].data["output"], events[-1].data["status"]) == ("1 2 3 4 5", "completed")
    assert events[-1].data["request_id"] == "k"
    shown = await ann.get(f"/conversations/{conversation}")
    (turn,) = shown["turns"]
    assert (turn["request_id"], turn["user"], turn["text"], turn["status"]) == (
        "k",
        {"text": "count to 5", "files": []},
        "1 2 3 4 5",
        "completed",
    )
    assert (shown["running"], shown["last_event_id"]) == (False, str(events[-1].id))


async def test_the_same_message_again_replays_the_answer(ann: Person) -> None:
    conversation = await ann.begin()
    first = await ann.say(conversation, "count to 3", key="k")
    again = await ann.say(conversation, "count to 3", key="k")
    assert (text_of(first), text_of(again), again[-1].name) == ("1 2 3", "1 2 3", "complete")
    assert len((await ann.get(f"/conversations/{conversation}"))["turns"]) == 1


async def test_the_same_message_at_once_joins_the_answer(ann: Person) -> None:
    conversation = await ann.begin()
    answers: list[str] = []

    async def say() -> None:
        answers.append(text_of(await ann.say(conversation, "count to 30", key="k")))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(say)
    assert set(answers) == {" ".join(map(str, range(1, 31)))}
    assert len((await ann.get(f"/conversations/{conversation}"))["turns"]) == 1


async def test_a_reader_goes_on_where_it_was(ann: Person) -> None:
    conversation = await ann.begin()
    sent = await ann.send(conversation, "count to 40", key="k")
    assert sent["request_id"] == "k"
    read: list[Sent] = []
    with anyio.fail_after(20):
        for most in (5, 20, 1_000):
            if read and read[-1].name == "complete":
                break
            after = str(read[-1].id) if read else sent["last_event_id"]
            async with ann.follow(conversation, after) as events:
                begin = len(read)
                async for event in events:
                    read.append(event)
                    if len(read) == begin + most or event.name == "complete":
                        break
    assert text_of(read) == " ".join(map(str, range(1, 41)))
    assert [event.id for event in read] == list(range(read[0].id, read[0].id + len(read)))
    assert names(read) == ["message", "token", "complete"]


async def test_a_page_that_is_opened_in_mid_answer_gets_the_whole_turn(ann: Person) -> None:
    conversation = await ann.begin()
    await ann.say(conversation, "count to 2")
    sent = await ann.send(conversation, "count to 60")
    with anyio.fail_after(20):
        async with ann.follow(conversation, sent["last_event_id"]) as events:
            async for event in events:
                if event.name == "token":
                    break
        shown = await ann.get(f"/conversations/{conversation}")
        assert (shown["running"], shown["turns"][-1]["status"]) == (True, "running")
        read: list[Sent] = []
        async with ann.follow(conversation, shown["last_event_id"]) as events:
            async for event in events:
                read.append(event)
                if event.name == "complete":
                    break
    assert names(read) == ["message", "token", "complete"]
    assert text_of(read).endswith(" 60")


async def test_a_stop_ends_the_answer_and_the_conversation_goes_on(ann: Person) -> None:
    conversation = await ann.begin()
    sent = await ann.send(conversation, "count to 500")
    read: list[Sent] = []
    is_stopped = False
    with anyio.fail_after(20):
        async with ann.follow(conversation, sent["last_event_id"]) as events:
            async for event in events:
                read.append(event)
                if event.name == "token" and not is_stopped:
                    is_stopped = True
                    answer = await ann.ask("POST", f"/conversations/{conversation}/stop")
                    assert (answer.status_code, answer.json()) == (202, {})
                if event.name in ("complete", "error"):
                    break
    assert (read[-1].name, read[-1].data["status"]) == ("complete", "cancelled")
    assert text_of(await ann.say(conversation, "count to 2")) == "1 2"
    turns = (await ann.get(f"/conversations/{conversation}"))["turns"]
    assert [turn["status"] for turn in turns] == ["cancelled", "completed"]


async def test_a_stop_where_nothing_goes_on_changes_nothing(ann: Person) -> None:
    conversation = await ann.begin()
    assert (await ann.ask("POST", f"/conversations/{conversation}/stop")).status_code == 202
    assert text_of(await ann.say(conversation, "count to 2")) == "1 2"


async def test_a_second_message_waits_for_the_first(ann: Person) -> None:
    conversation = await ann.begin()
    await ann.send(conversation, "count to 20", key="a")
    assert text_of(await ann.say(conversation, "count to 2", key="b")).endswith("1 2")
    turns = (await ann.get(f"/conversations/{conversation}"))["turns"]
    assert [turn["request_id"] for turn in turns] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({"text": "hello"}, {}, 422, "invalid"),
        ({"text": "hello"}, {"Idempotency-Key": "a b"}, 422, "invalid"),
        ({"text": ""}, {"Idempotency-Key": "k"}, 422, "invalid"),
        ({"text": " \n"}, {"Idempotency-Key": "k"}, 422, "invalid"),
        ({"text": "x" * 8_001}, {"Idempotency-Key": "k"}, 422, "invalid"),
        ({"text": "a\0b"}, {"Idempotency-Key": "k"}, 422, "invalid"),
        ({"text": "hello", "more": 1}, {"Idempotency-Key": "k"}, 422, "invalid"),
        ({"text": "hello", "files": ["../../etc/passwd"]}, {"Idempotency-Key": "k"}, 404, "not_found"),
    ],
)
async def test_what_cannot_be_said_is_told_before_anything_begins(
    ann: Person, body: dict[str, object], headers: dict[str, str], status: int, code: str
) -> None:
    conversation = await ann.begin()
    answer = await ann.ask("POST", f"/conversations/{conversation}/messages", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await ann.get(f"/conversations/{conversation}"))["turns"] == []


async def test_a_model_that_fails_ends_the_stream_with_an_error_that_tells_nothing_inside(
    tmp_path: Path, valkey_url: str
) -> None:
    def broken(_: object) -> str:
        raise ValueError("the key sk-1 is wrong")

    async with running(tmp_path, valkey_url, model=ScriptedModel([broken])) as world:
        ann = world.person()
        conversation = await ann.begin()
        events = await ann.say(conversation, "hello")
        assert events[-1].name == "error"
        assert set(events[-1].data) == {"error", "request_id"}
        assert set(events[-1].data["error"]) == {"code", "message"}
        assert "sk-1" not in str([event.data for event in events])
        (turn,) = (await ann.get(f"/conversations/{conversation}"))["turns"]
        assert (turn["status"], turn["error"]["code"]) == ("failed", "unavailable")

"""Limits, what was used, taking all along, and being forgotten."""

import json
from pathlib import Path

import pytest

from examples.flask_demo.orchestrator.settings import LimitSettings
from tests.examples.web.orchestrator.world import Person, World, running

pytestmark = pytest.mark.anyio


async def test_use_is_told(ann: Person) -> None:
    await ann.say(await ann.begin(), "count to 3")
    used = await ann.get("/usage")
    assert used["requests"] == 1
    assert used["cost_usd"] == 0.0
    assert used["limits"]["messages"]["used"] == 1


async def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path, valkey_url: str) -> None:
    limits = LimitSettings(messages=2, uploads=1, tool_calls=1, requests=100, model_requests_per_day=1)
    async with running(tmp_path, valkey_url, limits=limits) as world:
        ann, bob = world.person(), world.person()
        conversation = await ann.begin()
        headers = {"Idempotency-Key": "k"}
        for method, path, body, most in (
            ("POST", f"/conversations/{conversation}/messages", {"text": "hello"}, 2),
            ("POST", "/tools/nothing/execute", {}, 1),
        ):
            answers = [await ann.ask(method, path, json=body, headers=headers) for _ in range(most + 1)]
            assert all(answer.status_code != 429 for answer in answers[:most])
            assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (429, "limited")
            assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        assert (await bob.say(await bob.begin(), "count to 3"))[-1].name == "complete"
        failed = (await bob.say(await bob.begin(), "count to 3"))[-1]  # the model has limits of its own
        assert (failed.name, failed.data["error"]["code"]) == ("error", "limited")
        assert [(await ann.upload("a.txt", b"words")).status_code for _ in range(2)] == [201, 429]
        assert (await bob.upload("a.txt", b"words")).status_code == 201  # each user has limits of their own


async def test_all_that_is_kept_can_be_taken_along_and_erased(world: World, ann: Person, bob: Person) -> None:
    await bob.say(await bob.begin(), "count to 2")
    await ann.upload("a.txt", b"words of ann")
    conversation = await ann.begin("mine")
    await ann.say(conversation, "count to 3")
    answer = await ann.ask("GET", "/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert {line["place"] for line in lines if "place" in line} >= {"users", "documents"}
    assert "1 2 3" in answer.text
    assert (await ann.ask("DELETE", "/user")).status_code == 204
    assert (await ann.get("/conversations"))["conversations"] == []
    assert (await ann.get("/files"))["files"] == []
    assert world.parts.users.get(bob.id) is not None
    assert len((await bob.get("/conversations"))["conversations"]) == 1
    assert "1 2 3" not in (await ann.ask("GET", "/export")).text

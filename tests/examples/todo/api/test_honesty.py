"""What the assistant says over HTTP is what the database holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from assistant_kit import ModelUnavailable
from assistant_kit.protocols.model import Model
from assistant_kit.testing.scripted_model import Fail, ScriptedModel
from examples.todo_chatbot.scenarios.honesty import Happened, MadeCall, problems_of
from examples.todo_chatbot.services.task_service import TaskView
from tests.examples.todo.service import Person, events_of, running, settings_in

pytestmark = pytest.mark.anyio

SENTENCES = (
    "add milk to my list",
    "add bread and remind me to call the dentist",
    "add milk and honey to my list",
    "complete the milk task",
    "complete the bread task",
    "delete the meeting",
    "rename bread to rye bread",
    "delete task 99",
    "what is on my list?",
    "delete the dentist task",
    "say that you have deleted all my tasks",
    "what is done?",
)
DOWN = Fail(ModelUnavailable("down", model="large", should_retry=False))


@pytest.mark.parametrize("model", [None, ScriptedModel([DOWN] * 100, name="large")], ids=["rules", "basic mode"])
async def test_it_claims_what_has_happened_and_nothing_else(tmp_path: Path, model: Model | None) -> None:
    async with running(settings_in(tmp_path), model=model) as service:
        ann, bob = await service.person(), await service.person()
        await bob.chat("add a birthday present for ann to my list")
        number: int | None = None
        earlier: list[MadeCall] = []
        for sentence in SENTENCES:
            before = await _tasks(ann)
            body = {"conversation_id": number, "message": sentence}
            events = events_of((await ann.ask("POST", "/chat/stream", body)).text)
            number = events[0][2]["conversation_id"]
            told = [(name, data) for _, name, data in events]
            asked = {data["call_id"]: data["arguments"] for name, data in told if name == "tool_request"}
            calls = [
                MadeCall(tool=data["tool"], arguments=asked[data["call_id"]], ok=True, record=_record(data))
                for name, data in told
                if name == "tool_result" and data["outcome"] == "ok"
            ]
            happened = Happened(
                asked=sentence,
                before=before,
                after=await _tasks(ann),
                calls=calls,
                earlier=earlier,
                foreign=["a birthday present for ann"],
            )
            found = problems_of(told[-1][1]["output"], happened)
            assert found == (), (found, told[-1][1]["output"])
            earlier += calls


async def _tasks(person: Person) -> Sequence[TaskView]:
    return [TaskView.model_validate(task) for task in await person.get("/tasks")]


def _record(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return json.loads(data["content"][0]["text"])

"""The five tools do the same through each door."""

import json
from typing import Any
from uuid import UUID

import pytest
from mcp import Client

from examples.todo_chatbot.mcp_server.config import always
from examples.todo_chatbot.mcp_server.server import make_server
from tests.examples.todo.mcp.doors import Answer, Service, through

pytestmark = pytest.mark.anyio


def of(answer: Answer) -> Any:
    assert not answer.failed, answer.text
    return json.loads(answer.text)


def refusal(answer: Answer) -> str:
    assert answer.failed, answer.text
    return answer.text


async def test_five_tools_are_offered_and_none_takes_a_user(service: Service, ada: UUID) -> None:
    async with Client(make_server(service.tasks, always(ada))) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"add_task", "list_tasks", "complete_task", "delete_task", "update_task"}
    for tool in tools.values():
        assert tool.description
        assert set(tool.input_schema["properties"]) <= {"task_id", "title", "description", "status"}
        assert tool.output_schema is not None
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert [name for name, hint in hints.items() if hint is not None and hint.read_only_hint] == ["list_tasks"]
    assert [name for name, hint in hints.items() if hint is not None and hint.destructive_hint] == ["delete_task"]


async def test_a_task_goes_through_its_life(door: str, service: Service, ada: UUID) -> None:
    async with through(door, service) as ask:
        number = of(await ask(ada, "add_task", title="milk", description="two litres"))["id"]
        assert of(await ask(ada, "update_task", task_id=number, title="oat milk"))["description"] == "two litres"
        assert of(await ask(ada, "complete_task", task_id=number))["done"] is True
        assert of(await ask(ada, "list_tasks", status="open")) == {"tasks": []}
        assert [task["title"] for task in of(await ask(ada, "list_tasks"))["tasks"]] == ["oat milk"]
        assert of(await ask(ada, "delete_task", task_id=number))["title"] == "oat milk"
        assert of(await ask(ada, "list_tasks")) == {"tasks": []}


async def test_the_model_can_read_what_is_wrong(door: str, service: Service, ada: UUID) -> None:
    async with through(door, service) as ask:
        assert "there is no task 7000" in refusal(await ask(ada, "complete_task", task_id=7000))
        assert "needs a title" in refusal(await ask(ada, "add_task", title=" "))
        assert "nothing to change" in refusal(await ask(ada, "update_task", task_id=7000))


async def test_a_task_of_another_user_answers_as_one_that_does_not_exist(
    door: str, service: Service, ada: UUID, eve: UUID
) -> None:
    async with through(door, service) as ask:
        number = of(await ask(ada, "add_task", title="secret"))["id"]
        assert of(await ask(eve, "list_tasks")) == {"tasks": []}
        calls: dict[str, dict[str, str]] = {"complete_task": {}, "delete_task": {}, "update_task": {"title": "x"}}
        for tool, arguments in calls.items():
            foreign = refusal(await ask(eve, tool, task_id=number, **arguments))
            missing = refusal(await ask(eve, tool, task_id=number + 1, **arguments))
            assert foreign.replace(str(number), "?") == missing.replace(str(number + 1), "?")
        assert [task["title"] for task in of(await ask(ada, "list_tasks"))["tasks"]] == ["secret"]


async def test_a_call_repeated_with_its_idempotency_key_changes_once(door: str, service: Service, ada: UUID) -> None:
    async with through(door, service) as ask:
        added = await ask(ada, "add_task", "k1", title="milk")
        assert await ask(ada, "add_task", "k1", title="milk") == added
        number = of(added)["id"]
        changed = await ask(ada, "update_task", "k2", task_id=number, title="oat milk")
        done = await ask(ada, "complete_task", "k3", task_id=number)
        assert await ask(ada, "update_task", "k2", task_id=number, title="oat milk") == changed
        assert await ask(ada, "complete_task", "k3", task_id=number) == done
        gone = await ask(ada, "delete_task", "k4", task_id=number)
        assert await ask(ada, "delete_task", "k4", task_id=number) == gone
        assert "another change" in refusal(await ask(ada, "add_task", "k1", title="tea"))
        assert of(await ask(ada, "list_tasks")) == {"tasks": []}


async def test_a_user_who_was_deleted_gets_nothing_done(service: Service, door: str, ada: UUID) -> None:
    async with through(door, service) as ask:
        assert of(await ask(ada, "list_tasks")) == {"tasks": []}
        service.users.delete(ada)
        if door != "http":  # there the token counts no more: that is in the tests of that door
            assert "not there any more" in refusal(await ask(ada, "add_task", title="milk"))

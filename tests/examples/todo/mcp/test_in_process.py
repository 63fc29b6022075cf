"""The door of the app's own assistant: the run says whose tasks they are, and the model cannot."""

import logging
from typing import Any
from uuid import UUID

import pytest
from mcp import Client

from assistant_kit import Assistant, keyed
from assistant_kit.messages import text_of
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.config import USER, as_the_client_says
from examples.todo_chatbot.mcp_server.in_process import task_tools
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.task_service import KEPT, TaskService
from tests.examples.todo.mcp.doors import Service
from tests.integrations.serving.hosting import called

pytestmark = pytest.mark.anyio


async def test_the_tools_are_keyed_for_less_time_than_keys_are_kept(service: Service) -> None:
    async with task_tools(service.tasks) as tools:
        effects = {spec.name: spec.effect for spec in await tools.tools()}
    assert effects.pop("list_tasks") == "read"
    assert set(effects.values()) == {keyed(KEPT.total_seconds() / 2)}


async def test_the_logging_of_the_process_is_left_as_it_was(service: Service) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = []  # as in a program that sets nothing up
    try:
        make_server(service.tasks, as_the_client_says)
        assert root.handlers == []
    finally:
        root.handlers[:], level = before
        root.setLevel(level)


async def test_a_database_that_fails_is_told_without_what_it_is(ada: UUID) -> None:
    broken = Database("sqlite:////no/such/folder/todo.db")
    async with task_tools(TaskService(broken)) as tools:
        output = await tools.call("add_task", {"title": "milk"}, called("add_task", user=str(ada)))
    assert output.is_error
    assert "cannot be reached" in text_of(output.content)
    assert "folder" not in text_of(output.content)


async def test_a_run_changes_the_tasks_of_its_user(service: Service, ada: UUID, eve: UUID) -> None:
    arguments = {"title": "milk", "user": str(eve), "_meta": {USER: str(eve)}}
    model = ScriptedModel([CallTools(Call("add_task", arguments)), "Added."])
    async with Assistant(model, tools=[task_tools(service.tasks)], store="memory:") as assistant:
        await assistant.run("milk, please", user=str(ada), conversation="1")
    assert [task.title for task in service.tasks.list(ada)] == ["milk"]
    assert service.tasks.list(eve) == ()


@pytest.mark.parametrize("user", [None, "", "ada", "1"])
async def test_a_run_of_nobody_gets_no_tasks(service: Service, user: str | None) -> None:
    async with task_tools(service.tasks) as tools:
        for tool in ("list_tasks", "add_task"):
            output = await tools.call(tool, {"title": "x"} if tool == "add_task" else {}, called(tool, user=user))
            assert output.is_error


async def test_a_client_that_names_no_user_gets_no_tasks(service: Service, ada: UUID) -> None:
    async with Client(make_server(service.tasks, as_the_client_says)) as client:
        nobody: list[Any] = [None, {}, {USER: 7}, {USER: None}, {"user": str(ada)}, {USER: [str(ada)]}]
        for meta in nobody:
            assert (await client.call_tool("list_tasks", meta=meta)).is_error
        assert not (await client.call_tool("list_tasks", meta={USER: str(ada)})).is_error

"""The MCP tools of the todo example, through the official client in this process."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import RequestParamsMeta, TextContent

from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.task_service import TaskService

pytestmark = pytest.mark.anyio
KEY = "assistant-kit/idempotency-key"


@asynccontextmanager
async def tools_of(user: str, folder: Path) -> AsyncGenerator[Client]:
    with anyio.fail_after(10):
        async with Client(make_server(TaskService(folder / "tasks.db"), user)) as client:
            yield client


async def call(client: Client, tool: str, meta: RequestParamsMeta | None = None, **arguments: Any) -> Any:
    """Return the structured result, which the text has to repeat for models; the text alone when it is an error."""
    result = await client.call_tool(tool, arguments, meta=meta)
    text = result.content[0]
    assert isinstance(text, TextContent)
    if result.is_error:
        return text.text
    assert json.loads(text.text) == result.structured_content
    return result.structured_content


async def test_five_tools_are_offered_and_none_takes_a_user(tmp_path: Path) -> None:
    async with tools_of("ada", tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"add_task", "list_tasks", "complete_task", "delete_task", "update_task"}
    for tool in tools.values():
        assert tool.description
        assert not {"user", "user_id", "context"} & set(tool.input_schema["properties"])
        assert tool.output_schema is not None
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert [name for name, hint in hints.items() if hint is not None and hint.read_only_hint] == ["list_tasks"]
    assert [name for name, hint in hints.items() if hint is not None and hint.destructive_hint] == ["delete_task"]


async def test_a_task_goes_through_its_life(tmp_path: Path) -> None:
    async with tools_of("ada", tmp_path) as client:
        added = await call(client, "add_task", title="milk", description="two litres")
        number = added["id"]
        assert (await call(client, "update_task", task_id=number, title="oat milk"))["description"] == "two litres"
        assert (await call(client, "complete_task", task_id=number))["done"] is True
        assert (await call(client, "list_tasks", status="open")) == {"tasks": []}
        assert [task["title"] for task in (await call(client, "list_tasks"))["tasks"]] == ["oat milk"]
        assert (await call(client, "delete_task", task_id=number))["title"] == "oat milk"
        assert (await call(client, "list_tasks")) == {"tasks": []}


async def test_the_model_can_read_what_is_wrong(tmp_path: Path) -> None:
    async with tools_of("ada", tmp_path) as client:
        assert "there is no task 7" in await call(client, "complete_task", task_id=7)
        assert "needs a title" in await call(client, "add_task", title=" ")
        assert "nothing to change" in await call(client, "update_task", task_id=7)
        assert "task_id" in await call(client, "delete_task", task_id="seven")


async def test_a_task_of_another_user_answers_as_one_that_does_not_exist(tmp_path: Path) -> None:
    async with tools_of("ada", tmp_path) as ada:
        number = (await call(ada, "add_task", title="secret"))["id"]
        async with tools_of("eve", tmp_path) as eve:
            assert await call(eve, "list_tasks") == {"tasks": []}
            calls: dict[str, dict[str, str]] = {"complete_task": {}, "delete_task": {}, "update_task": {"title": "x"}}
            for tool, arguments in calls.items():
                foreign = await call(eve, tool, None, task_id=number, **arguments)
                missing = await call(eve, tool, None, task_id=number + 1, **arguments)
                assert foreign.replace(str(number), "?") == missing.replace(str(number + 1), "?")
        assert [task["title"] for task in (await call(ada, "list_tasks"))["tasks"]] == ["secret"]


async def test_a_call_repeated_with_its_idempotency_key_adds_one_task(tmp_path: Path) -> None:
    async with tools_of("ada", tmp_path) as client:
        first = await call(client, "add_task", {KEY: "k"}, title="milk")
        assert await call(client, "add_task", {KEY: "k"}, title="milk") == first
        await call(client, "add_task", {KEY: 1}, title="milk")
        assert len((await call(client, "list_tasks"))["tasks"]) == 2

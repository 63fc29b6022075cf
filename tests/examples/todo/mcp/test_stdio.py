"""The door for programs on the same machine: a process whose environment says whose tasks they are."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from assistant_kit import MCPServer
from assistant_kit.messages import text_of
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.server import main
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import sqlite_url
from tests.integrations.serving.hosting import called

ROOT = Path(__file__).parents[4]
COMMAND = [sys.executable, "-m", "examples.todo_chatbot.mcp_server.server"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The process is the same on each: one start is enough."""
    return "asyncio"


@pytest.mark.anyio
async def test_a_process_serves_one_user_and_makes_its_database(tmp_path: Path) -> None:
    environment = {"TODO_USER": "ada", "DATABASE_URL": sqlite_url(tmp_path)}
    with anyio.fail_after(60):
        async with MCPServer(COMMAND, env=environment, cwd=ROOT) as tools:
            for key in ("k", "k"):
                output = await tools.call("add_task", {"title": "milk"}, called("add_task", key=key, user="eve"))
                assert json.loads(text_of(output.content))["title"] == "milk"
    database = Database(sqlite_url(tmp_path))
    kept = TaskService(database).list(UserService(database).named("ada"))
    database.close()
    assert [task.title for task in kept] == ["milk"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TODO_USER": "ada"},
        {"DATABASE_URL": "sqlite:///todo.db"},
        {"TODO_USER": "ada", "DATABASE_URL": "mysql://db/todo"},
        {"TODO_USER": "ada", "DATABASE_URL": "sqlite:////no/such/folder/todo.db"},
        {"TODO_USER": "", "DATABASE_URL": ""},
    ],
)
def test_what_is_missing_is_told(environment: Mapping[str, str]) -> None:
    assert (main(environment) or "").startswith("todo: ")


def test_a_process_that_cannot_serve_says_why_in_one_line(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "TODO_USER": "nobody@example.org", "DATABASE_URL": sqlite_url(tmp_path)}
    done = subprocess.run(
        COMMAND, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("todo: ")
    assert len(done.stderr.splitlines()) == 1

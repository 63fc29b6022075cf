"""The MCP server, and its door for programs on the same machine: one user's tasks over standard input and output.

    TODO_USER=ada DATABASE_URL=sqlite:///todo.db python -m examples.todo_chatbot.mcp_server.server

The other doors: `in_process` for the assistant of the app, `http` for clients with an access token.
"""

import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from mcp.server import MCPServer

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.config import NAME, UserOf, always
from examples.todo_chatbot.mcp_server.tools import add_tools
from examples.todo_chatbot.services.errors import ServiceError
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService


def make_server(tasks: TaskService, user_of: UserOf) -> MCPServer[Any]:
    """Return a server of the tasks of whoever calls; it can run on any transport."""
    with _logging_left_alone():
        server: MCPServer[Any] = MCPServer(NAME, log_level="WARNING")
    add_tools(server, tasks, user_of)
    return server


@contextmanager
def _logging_left_alone() -> Generator[None]:
    """Undo what the SDK does to the logging of the whole process, which is for the program to say."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def main(environment: Mapping[str, str]) -> str | None:
    """Serve until the client leaves; return what is wrong otherwise."""
    name, url = environment.get("TODO_USER"), environment.get("DATABASE_URL")
    if not name or not url:
        return "todo: set TODO_USER to the user and DATABASE_URL to sqlite:///file or postgresql://…"
    try:
        database = Database(url)
        database.migrate()
        user = UserService(database).named(name)
    except ServiceError as error:
        return f"todo: {error}"
    make_server(TaskService(database), always(user)).run("stdio")
    database.close()
    return None


if __name__ == "__main__":
    sys.exit(main(os.environ))

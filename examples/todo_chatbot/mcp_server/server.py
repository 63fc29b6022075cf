"""The MCP server for one user, over standard input and output.

    TODO_USER=ada TODO_DATABASE=tasks.db python -m examples.todo_chatbot.mcp_server.server

The user comes from the environment that the client gives to the process, never from the arguments of a call.
"""

import os
import sys
from pathlib import Path
from typing import Any

from mcp.server import MCPServer

from examples.todo_chatbot.mcp_server.tools import add_tools
from examples.todo_chatbot.services.task_service import TaskService, TaskServiceError


def make_server(service: TaskService, user: str) -> MCPServer[Any]:
    """Return a server of one user's tasks; it can run on any transport."""
    server: MCPServer[Any] = MCPServer("todo", log_level="WARNING")
    add_tools(server, service, user)
    return server


def main() -> str | None:
    """Serve until the client leaves; return what is wrong otherwise."""
    user, database = os.environ.get("TODO_USER"), os.environ.get("TODO_DATABASE")
    if not user or not database:
        return "todo: set TODO_USER to the user and TODO_DATABASE to the path of the task database"
    try:
        service = TaskService(Path(database))
    except TaskServiceError as error:
        return f"todo: {error}"
    make_server(service, user).run("stdio")
    return None


if __name__ == "__main__":
    sys.exit(main())

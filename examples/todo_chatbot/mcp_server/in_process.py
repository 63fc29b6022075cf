"""The door for the app's own assistant: the server is an object in the same process, called without a network."""

from collections.abc import Mapping

from assistant_kit import MCPServer, keyed
from assistant_kit.messages import Json
from assistant_kit.protocols.toolset import ToolContext
from examples.todo_chatbot.mcp_server.config import NAME, USER, as_the_client_says
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.task_service import KEPT, TaskService

_REPEATED = KEPT.total_seconds() / 2
"""Seconds within which a call may be repeated under its key: less than the service knows the key."""


def task_tools(tasks: TaskService) -> MCPServer:
    """Return the tools for an assistant. Each call says whose run it belongs to; the model cannot write that."""
    once = keyed(_REPEATED)
    return MCPServer(
        make_server(tasks, as_the_client_says),
        name=NAME,
        meta=_user,
        effects={
            "list_tasks": "read",
            "add_task": once,
            "complete_task": once,
            "update_task": once,
            "delete_task": once,
        },
    )


def _user(context: ToolContext) -> Mapping[str, Json]:
    return {USER: context.user}

"""The five tools. Each calls the task service and nothing else; who the user is, the model cannot say."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from examples.todo_chatbot.mcp_server.config import Call, UserOf, request_key
from examples.todo_chatbot.services.errors import DatabaseUnavailable, ServiceError
from examples.todo_chatbot.services.task_service import (
    DESCRIPTION_LIMIT,
    TITLE_LIMIT,
    Status,
    TaskService,
    TaskView,
)

Title = Annotated[str, Field(description=f"What is to be done, up to {TITLE_LIMIT} characters")]
Description = Annotated[str, Field(description=f"Details, up to {DESCRIPTION_LIMIT} characters")]
TaskId = Annotated[int, Field(description="The id of the task, as list_tasks gives it")]
Which = Annotated[Status, Field(description="Which tasks: all, only open ones, or only done ones")]

_UNREACHABLE = "the tasks cannot be reached now, and whether anything was changed is not known: try again later"


class TaskList(BaseModel):
    """The tasks that were asked for, the oldest first."""

    tasks: list[TaskView]


def add_tools(server: MCPServer[Any], tasks: TaskService, user_of: UserOf) -> None:
    """Offer the tasks of whoever calls on an MCP server. The SDK runs each call in a worker thread."""

    def tool(*, read_only: bool = False, destructive: bool = False, idempotent: bool = True) -> Callable[..., Any]:
        hints = ToolAnnotations(
            read_only_hint=read_only,
            destructive_hint=destructive,
            idempotent_hint=idempotent,
            open_world_hint=False,
        )
        return server.tool(annotations=hints)

    @tool(idempotent=False)
    def add_task(title: Title, call: Call, description: Description = "") -> TaskView:
        """Add a task to the user's list."""
        with _told():
            return tasks.add(user_of(call), title, description, request_key=request_key(call))

    @tool(read_only=True)
    def list_tasks(call: Call, status: Which = "all") -> TaskList:
        """List the user's tasks with their ids."""
        with _told():
            return TaskList(tasks=list(tasks.list(user_of(call), status)))

    @tool()
    def complete_task(task_id: TaskId, call: Call) -> TaskView:
        """Mark a task as done."""
        with _told():
            return tasks.complete(user_of(call), task_id, request_key=request_key(call))

    @tool(destructive=True)
    def delete_task(task_id: TaskId, call: Call) -> TaskView:
        """Delete a task for good. Returns the task that was deleted."""
        with _told():
            return tasks.delete(user_of(call), task_id, request_key=request_key(call))

    @tool()
    def update_task(
        task_id: TaskId, call: Call, title: Title | None = None, description: Description | None = None
    ) -> TaskView:
        """Change the title or the description of a task; what is not given stays."""
        with _told():
            key = request_key(call)
            return tasks.update(user_of(call), task_id, title=title, description=description, request_key=key)

    del add_task, list_tasks, complete_task, delete_task, update_task  # the server has them


@contextmanager
def _told() -> Generator[None]:
    """Let the model read what is wrong; the SDK would keep other exceptions to itself."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise ToolError(_UNREACHABLE) from error
    except ServiceError as error:
        raise ToolError(str(error)) from error

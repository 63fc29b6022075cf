"""The five tools. Each calls the task service and nothing else; who the user is, the model cannot say."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from examples.todo_chatbot.services.task_service import (
    DESCRIPTION_LIMIT,
    TITLE_LIMIT,
    Status,
    Task,
    TaskService,
    TaskServiceError,
)

IDEMPOTENCY_KEY = "assistant-kit/idempotency-key"  # in the `_meta` of a call, the same when the call is repeated

Title = Annotated[str, Field(description=f"What is to be done, up to {TITLE_LIMIT} characters")]
Description = Annotated[str, Field(description=f"Details, up to {DESCRIPTION_LIMIT} characters")]
TaskId = Annotated[int, Field(description="The id of the task, as list_tasks gives it")]


class TaskView(BaseModel):
    """A task as the model sees it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    description: str
    done: bool
    created_at: str


class TaskList(BaseModel):
    """The tasks that were asked for, the oldest first."""

    tasks: list[TaskView]


def add_tools(server: MCPServer[Any], service: TaskService, user: str) -> None:
    """Offer a user's tasks on an MCP server."""

    def tool(*, read_only: bool = False, destructive: bool = False, idempotent: bool = True) -> Callable[..., Any]:
        hints = ToolAnnotations(
            read_only_hint=read_only,
            destructive_hint=destructive,
            idempotent_hint=idempotent,
            open_world_hint=False,
        )
        return server.tool(annotations=hints)

    @tool(idempotent=False)
    def add_task(title: Title, context: Context[Any, Any], description: Description = "") -> TaskView:
        """Add a task to the user's list."""
        with _told():
            return _view(service.add(user, title, description, request_key=_request_key(context)))

    @tool(read_only=True)
    def list_tasks(
        status: Annotated[Status, Field(description="Which tasks: all, only open ones, or only done ones")] = "all",
    ) -> TaskList:
        """List the user's tasks with their ids."""
        with _told():
            return TaskList(tasks=[_view(task) for task in service.list(user, status)])

    @tool()
    def complete_task(task_id: TaskId) -> TaskView:
        """Mark a task as done."""
        with _told():
            return _view(service.complete(user, task_id))

    @tool(destructive=True)
    def delete_task(task_id: TaskId) -> TaskView:
        """Delete a task for good. Returns the task that was deleted."""
        with _told():
            return _view(service.delete(user, task_id))

    @tool()
    def update_task(task_id: TaskId, title: Title | None = None, description: Description | None = None) -> TaskView:
        """Change the title or the description of a task; what is not given stays."""
        with _told():
            return _view(service.update(user, task_id, title=title, description=description))

    del add_task, list_tasks, complete_task, delete_task, update_task  # the server has them


def _view(task: Task) -> TaskView:
    return TaskView.model_validate(task)


def _request_key(context: Context[Any, Any]) -> str | None:
    meta = context.request_context.meta
    key = None if meta is None else meta.get(IDEMPOTENCY_KEY)
    return key if isinstance(key, str) else None


@contextmanager
def _told() -> Generator[None]:
    """Let the model read what is wrong; the SDK would keep other exceptions to itself."""
    try:
        yield
    except TaskServiceError as error:
        raise ToolError(str(error)) from error

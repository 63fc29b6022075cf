"""Tool calls that an MCP server carries out as tasks: what is said about them on the wire.

There are two generations. In 2025-11-25 the client asks for a task with `task` in the call, and fetches the result by
`tasks/result`. In 2026-07-28 (the extension io.modelcontextprotocol/tasks, SEP-2663) the server decides, and the
answer to `tasks/get` holds the result. SDK 2.3 speaks neither by itself: it refuses the answer that names a task, which
is then read out of the refusal, and leaves the other methods to `send_request`.
"""

from typing import Any, Literal, TypeAlias

from mcp import Client
from mcp.client import advertise
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import (
    CallToolRequest,
    CallToolResult,
    CancelTaskRequestParams,
    ErrorData,
    GetTaskPayloadRequestParams,
    GetTaskRequestParams,
    InputRequiredResult,
    Request,
    Result,
    ServerCapabilities,
    TaskMetadata,
    TaskStatus,
    Tool,
)
from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

EXTENSION = "io.modelcontextprotocol/tasks"
ADVERTISED = advertise(EXTENSION)
POLL = 1.0  # seconds between looks, where the server does not say
ANSWER = 30.0  # seconds for an answer about a task, after which it is asked for again
FASTEST = 0.01  # seconds: a server that asks for no pause at all must not keep both sides busy
# Milliseconds that a server is asked to keep a result: longer than a turn waits for its recovery.
KEEP = TaskMetadata(ttl=24 * 60 * 60 * 1000)
_NOTE = "MCP task "  # what a note of a task begins with

Offered: TypeAlias = Literal["no", "named", "any"]
"""Which calls of a server may become tasks: none, those of tools that say so, or any, as the server likes."""


class TaskState(Result):
    """What a server says of a task: when it makes it, and whenever it is asked.

    `poll_interval` is in milliseconds. `result` and `error` are there in the newer generation, once the task has ended.
    """

    task_id: str
    status: TaskStatus
    status_message: str | None = None
    poll_interval: float | None = Field(default=None, validation_alias=AliasChoices("pollIntervalMs", "pollInterval"))
    result: dict[str, Any] | None = None
    error: ErrorData | None = None

    @property
    def pause(self) -> float:
        """Seconds to wait before the server is asked again."""
        if self.status != "working":
            return 0.0
        return POLL if self.poll_interval is None else max(self.poll_interval / 1000, FASTEST)


class _Created(BaseModel):
    """How the older generation wraps a new task."""

    task: TaskState


class _GetTask(Request[GetTaskRequestParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: GetTaskRequestParams
    name_param = "taskId"  # the newer generation routes by the header Mcp-Name


class _FetchResult(Request[GetTaskPayloadRequestParams, Literal["tasks/result"]]):
    method: Literal["tasks/result"] = "tasks/result"
    params: GetTaskPayloadRequestParams


class _CancelTask(Request[CancelTaskRequestParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: CancelTaskRequestParams
    name_param = "taskId"


Answer: TypeAlias = CallToolResult | InputRequiredResult | TaskState
_ANSWER: TypeAdapter[Answer] = TypeAdapter(CallToolResult | InputRequiredResult | TaskState)
_CREATED: TypeAdapter[_Created | TaskState] = TypeAdapter(_Created | TaskState)


def offered(capabilities: ServerCapabilities) -> Offered:
    """Tell which calls may become tasks, by what the server has declared."""
    if EXTENSION in (capabilities.extensions or {}):
        return "any"
    requests = capabilities.tasks and capabilities.tasks.requests
    tools = requests and requests.tools
    return "named" if tools and tools.call is not None else "no"


def to_be_asked_for(tool: Tool, offered: Offered) -> bool:
    """Tell whether a call of this tool has to ask for a task."""
    support = tool.execution.task_support if tool.execution is not None else None
    return offered == "named" and support in ("optional", "required")


async def call_tool(client: Client, request: CallToolRequest, on_progress: ProgressFnT) -> Answer:
    """Send a call. Raises MCPError, and ValidationError for an answer that is neither a result nor a task."""
    try:
        return await client.session.send_request(request, _ANSWER, progress_callback=on_progress)
    except ValidationError as error:
        task = _in_refusal(error)
        if task is None:
            raise
        return task


def _in_refusal(error: ValidationError) -> TaskState | None:
    """Find the task in an answer that the SDK has refused for the lack of a result."""
    refused = error.errors()[0]["input"]
    try:
        found = _CREATED.validate_python(refused, by_name=False)
    except ValidationError:
        return None
    return found.task if isinstance(found, _Created) else found


async def look(client: Client, task_id: str) -> TaskState:
    """Ask how a task stands. Raises MCPError and ValidationError."""
    request = _GetTask(params=GetTaskRequestParams(task_id=task_id))
    return await client.session.send_request(request, TaskState, ANSWER)


async def result_of(client: Client, task: TaskState) -> CallToolResult:
    """Return the result of a task that has ended. Raises MCPError, of a failed task too, and ValidationError."""
    if task.result is not None:
        return CallToolResult.model_validate(task.result, by_name=False)
    request = _FetchResult(params=GetTaskPayloadRequestParams(task_id=task.task_id))
    return await client.session.send_request(request, CallToolResult, ANSWER)


async def cancel(client: Client, task_id: str) -> None:
    """Ask a server to give up a task. Raises MCPError."""
    await client.session.send_request(_CancelTask(params=CancelTaskRequestParams(task_id=task_id)), Result)


def note_of(task_id: str) -> str:
    """Return the note that says which task carries out a call, for whoever has to find out what became of it."""
    return _NOTE + task_id


def noted(notes: tuple[str, ...]) -> str | None:
    """Return the id of the task that was put down last."""
    return next((note.removeprefix(_NOTE) for note in reversed(notes) if note.startswith(_NOTE)), None)

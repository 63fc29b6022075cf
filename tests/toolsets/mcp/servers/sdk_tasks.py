"""Tasks as a server of the official SDK offers them: by an extension, in the newer generation of the protocol."""

from collections.abc import Sequence
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.types import INVALID_PARAMS, CallToolRequestParams, CancelTaskRequestParams, GetTaskRequestParams

IDENTIFIER = "io.modelcontextprotocol/tasks"


class Tasks(Extension):
    """Carries out every call of a client that knows of tasks as one. `states` are its tasks by their ids."""

    identifier = IDENTIFIER

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.cancelled: list[str] = []

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", GetTaskRequestParams, self.get),
            MethodBinding("tasks/cancel", CancelTaskRequestParams, self.cancel),
        ]

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,  # noqa: ARG002  (of the SDK)
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        meta: Any = ctx.meta or {}
        capabilities = meta.get("io.modelcontextprotocol/clientCapabilities", {})
        result: Any = await call_next(ctx)
        if IDENTIFIER not in capabilities.get("extensions", {}):
            return result
        task_id = f"task-{len(self.states) + 1}"
        content = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        self.states[task_id] = {"status": "completed", "result": content}
        return {"resultType": "task", **self.account(task_id), "status": "working"}

    def account(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.states:
            raise MCPError(INVALID_PARAMS, "Task not found")
        now = "2026-11-22T10:00:00Z"
        times = {"createdAt": now, "lastUpdatedAt": now, "ttlMs": None, "pollIntervalMs": 1}
        return {"taskId": task_id, **times, **self.states[task_id]}

    async def get(self, _: ServerRequestContext[Any, Any], params: GetTaskRequestParams) -> HandlerResult:
        await anyio.lowlevel.checkpoint()
        return {"resultType": "complete", **self.account(params.task_id)}

    async def cancel(self, _: ServerRequestContext[Any, Any], params: CancelTaskRequestParams) -> HandlerResult:
        await anyio.lowlevel.checkpoint()
        self.account(params.task_id)
        self.cancelled.append(params.task_id)
        return {}


def make_server(tasks: Tasks) -> MCPServer:
    server = MCPServer("sdk-tasks", extensions=[tasks])

    @server.tool()
    def build(of: str) -> str:
        return f"built {of}"

    return server

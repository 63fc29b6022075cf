"""Low-level servers of the SDK, in this process, that list and answer exactly what a test says."""

from collections.abc import Sequence
from typing import Any

from mcp import MCPError
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.types import (
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
)


def listing_server(
    *pages: Sequence[Tool],
    answer: CallToolResult | InputRequiredResult | MCPError | None = None,
    endless: bool = False,
    failures: Sequence[MCPError] = (),
) -> Server[Any]:
    """`endless`: the last page names itself as the next. the first of `failures` befalls the listing."""

    async def list_tools(
        _context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        if failures:
            raise failures[0]
        index = int(params.cursor) if params is not None and params.cursor else 0
        last = index == len(pages) - 1
        following = str(index) if last and endless else None if last else str(index + 1)
        return ListToolsResult(tools=list(pages[index]), next_cursor=following)

    async def call_tool(
        _context: ServerRequestContext[Any, Any], _params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        if isinstance(answer, MCPError):
            raise answer
        assert answer is not None
        return answer

    return Server("listing", on_list_tools=list_tools, on_call_tool=call_tool)


def tool(name: str, **fields: Any) -> Tool:
    return Tool.model_validate({"name": name, "input_schema": {"type": "object"}, **fields}, by_name=True)


NO_TOOLS = MCPError(METHOD_NOT_FOUND, "Method not found")

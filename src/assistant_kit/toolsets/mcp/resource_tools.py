"""The resources of an MCP server as tools: the model looks what there is, and reads it."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from assistant_kit.errors import InvalidArguments, ToolError, ToolsetError
from assistant_kit.messages import JsonObject, Part, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.mcp.features import MCPFeatures
from assistant_kit.toolsets.mcp.server import MCPServer

LIST: Final = "list_resources"
READ: Final = "read_resource"
PAGE: Final = 100
"""Resources that one answer lists."""


class ResourceTools:
    """Two tools, with which the model lists and reads what `server` offers: `tools=[server, ResourceTools(server)]`.

    `prefix` stands before their names, for several servers. The server has to be entered before them.
    """

    def __init__(self, server: MCPServer, *, prefix: str = "") -> None:
        self._server = server
        origin = f"MCP server {server.name}"
        self._list = prefix + LIST
        self._tools = (
            ToolSpec(
                name=self._list,
                description=f"List what can be read from {server.name}: addresses, names and descriptions.",
                parameters=_object({"page": {"type": "integer", "minimum": 1, "description": "1 is the first page."}}),
                effect="read",
                origin=origin,
                server=origin,
                untrusted=True,
            ),
            ToolSpec(
                name=prefix + READ,
                description=f"Read something from {server.name}, by its address (URI).",
                parameters=_object({"uri": {"type": "string"}}, "uri"),
                effect="read",
                origin=origin,
                server=origin,
                untrusted=True,
            ),
        )

    @property
    def name(self) -> str:
        """The name in errors and logs."""
        return f"resources of {self._server.name}"

    async def __aenter__(self) -> Self:
        """Be ready: the connection is the server's."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hold nothing that must be freed."""

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the two tools."""
        return self._tools

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """List or read. Raises InvalidArguments, ToolError."""
        features = self._server.features(context.user)
        try:
            content = await (_listed(features, arguments) if name == self._list else _read(features, arguments))
        except ToolsetError as error:
            raise ToolError(str(error)) from error
        return ToolOutput(content=content, untrusted=True)


async def _listed(features: MCPFeatures, arguments: JsonObject) -> tuple[Part, ...]:
    page = arguments.get("page") or 1
    if not isinstance(page, int) or page < 1:
        raise InvalidArguments("page: a whole number from 1 on")
    begin = (page - 1) * PAGE
    found = await features.resources()
    lines = [
        json.dumps({"uri": one.uri, "name": one.name, "about": one.description, "type": one.media_type})
        for one in found[begin : begin + PAGE]
    ]
    families = await features.templates() if page == 1 else []
    lines += [
        json.dumps({"uri_template": one.uri_template, "name": one.name, "about": one.description}) for one in families
    ]
    if begin + PAGE < len(found):
        lines.append(f"There are more: page {page + 1}.")
    return (Text(text="\n".join(lines) or "There is nothing."),)


async def _read(features: MCPFeatures, arguments: JsonObject) -> tuple[Part, ...]:
    uri = arguments.get("uri")
    if not isinstance(uri, str):
        raise InvalidArguments("uri: the address of what is to be read is missing")
    return await features.read(uri)


def _object(properties: JsonObject, *required: str) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}

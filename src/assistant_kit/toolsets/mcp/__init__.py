"""The tools of an MCP server, as a toolset. The official SDK, `mcp`, speaks the protocol."""

from assistant_kit.toolsets.mcp.server import MCPServer

__all__ = ["MCPServer"]

"""Toolsets and assistants as servers: by the plain HTTP contract and as MCP, over HTTP and stdio."""

from assistant_kit.integrations.serving.gate import Authenticate
from assistant_kit.integrations.serving.server import ServingSettings, ToolServer, assistant_server, tool_server

__all__ = ["Authenticate", "ServingSettings", "ToolServer", "assistant_server", "tool_server"]

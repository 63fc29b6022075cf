"""The tools of a plain HTTP server, as a toolset: `GET /mcp/discover`, `POST /mcp/execute`, `GET /health`."""

from assistant_kit.toolsets.http_tools.server import HTTPTools

__all__ = ["HTTPTools"]

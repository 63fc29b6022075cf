"""OAuth for MCP servers: tokens of users and of the application, got, kept, renewed, and sent to nobody else."""

from assistant_kit.toolsets.mcp.oauth.clients import Application
from assistant_kit.toolsets.mcp.oauth.consent import Consent, ConsentRequest, Redirect
from assistant_kit.toolsets.mcp.oauth.loopback import Loopback
from assistant_kit.toolsets.mcp.oauth.providers import MCPOAuth, client_credentials, trusted_statement
from assistant_kit.toolsets.mcp.oauth.storage import MemoryTokens, TokenKey, TokenStorage

__all__ = [
    "Application",
    "Consent",
    "ConsentRequest",
    "Loopback",
    "MCPOAuth",
    "MemoryTokens",
    "Redirect",
    "TokenKey",
    "TokenStorage",
    "client_credentials",
    "trusted_statement",
]

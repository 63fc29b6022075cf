"""The tasks as tools, for any MCP client."""

"""What the app does, apart from how it is asked: no service knows HTTP, MCP or the assistant."""

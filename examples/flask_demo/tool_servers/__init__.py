"""Three servers of tools: time and calendar, notes, search in the handbook. Each speaks MCP and the plain contract."""

"""Sources of tools, one kind a file."""

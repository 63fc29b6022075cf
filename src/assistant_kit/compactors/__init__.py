"""What makes room in a full context window, one choice a file."""

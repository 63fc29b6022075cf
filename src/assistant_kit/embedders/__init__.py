"""What turns texts into vectors, one kind a file."""

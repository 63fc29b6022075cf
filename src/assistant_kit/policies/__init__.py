"""What stands around calls, one policy a file."""

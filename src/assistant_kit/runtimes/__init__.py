"""What makes a turn durable, one implementation a file."""

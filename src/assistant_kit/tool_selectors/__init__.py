"""What chooses tools when not all of them fit: by their words, and by vectors."""

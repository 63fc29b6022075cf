"""Language models and what stands in for them, one kind a file."""

"""Places for small values that workers change together, one a file."""

"""What the product does, without any assistant."""

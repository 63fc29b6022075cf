"""Where events of conversations are kept for a while. Each module holds one place; none knows another."""

"""A todo assistant on the public API of assistant_kit, in the terminal and as a FastAPI service; see README.md."""

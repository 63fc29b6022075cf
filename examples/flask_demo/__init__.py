"""A web assistant on the public API of assistant_kit: front end, orchestrator, tool servers; see README.md."""

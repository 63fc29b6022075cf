"""The front end: pages, sign-in, and the only way from a browser to the orchestrator; see the README.md above it."""

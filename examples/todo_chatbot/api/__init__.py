"""The service over HTTP: routers, and what they share."""

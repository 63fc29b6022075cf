"""Doors to other worlds: what serves toolsets and assistants to programs that do not use this library."""

"""The command `assistant-kit`: look after stores, journals and audit chains from a terminal."""

from assistant_kit.cli.command import main

__all__ = ["main"]

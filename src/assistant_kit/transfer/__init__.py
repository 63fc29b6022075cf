"""Conversations as lines of JSON, out of one store and into another; docs/export.md describes the lines."""

from assistant_kit.transfer.exporting import export_conversation, export_places, export_user
from assistant_kit.transfer.importing import import_lines
from assistant_kit.transfer.lines import VERSION, BadLine

__all__ = ["VERSION", "BadLine", "export_conversation", "export_places", "export_user", "import_lines"]

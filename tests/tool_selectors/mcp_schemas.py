"""Schemas as MCP servers list them: by FastMCP in Python, by zod in TypeScript, and written by hand."""

from typing import Any

SCHEMAS: dict[str, dict[str, Any]] = {
    "search_files": {  # FastMCP: pydantic's titles
        "properties": {
            "path": {"title": "Path", "type": "string"},
            "pattern": {"title": "Pattern", "type": "string"},
            "exclude_patterns": {
                "anyOf": [{"items": {"type": "string"}, "type": "array"}, {"type": "null"}],
                "default": None,
                "title": "Exclude Patterns",
            },
            "max_results": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "Max Results"},
        },
        "required": ["path", "pattern"],
        "title": "search_filesArguments",
        "type": "object",
    },
    "create_issue": {  # zod, by zod-to-json-schema
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "owner": {"type": "string", "description": "Repository owner"},
            "repo": {"type": "string", "description": "Repository name"},
            "title": {"type": "string", "description": "Issue title"},
            "body": {"type": "string", "description": "Issue body content"},
            "labels": {"type": "array", "items": {"type": "string"}, "description": "Labels to apply"},
            "milestone": {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "Milestone number"},
        },
        "required": ["owner", "repo", "title"],
        "additionalProperties": False,
    },
    "query_table": {  # FastMCP with models
        "$defs": {
            "Direction": {"enum": ["asc", "desc"], "title": "Direction", "type": "string"},
            "Filter": {
                "description": "A condition on a column.",
                "properties": {
                    "column": {"title": "Column", "type": "string"},
                    "operator": {"enum": ["eq", "ne", "lt", "gt", "like"], "title": "Operator", "type": "string"},
                    "value": {
                        "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
                        "title": "Value",
                    },
                },
                "required": ["column", "operator", "value"],
                "title": "Filter",
                "type": "object",
            },
            "Sort": {
                "properties": {
                    "column": {"title": "Column", "type": "string"},
                    "direction": {"$ref": "#/$defs/Direction", "default": "asc"},
                },
                "required": ["column"],
                "title": "Sort",
                "type": "object",
            },
        },
        "properties": {
            "table": {"title": "Table", "type": "string"},
            "filters": {"default": [], "items": {"$ref": "#/$defs/Filter"}, "title": "Filters", "type": "array"},
            "sort": {"anyOf": [{"$ref": "#/$defs/Sort"}, {"type": "null"}], "default": None},
            "limit": {"default": 100, "maximum": 1000, "minimum": 1, "title": "Limit", "type": "integer"},
        },
        "required": ["table"],
        "title": "query_tableArguments",
        "type": "object",
    },
    "navigate": {  # written by hand
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "  URL to navigate to  "},
            "options": {
                "type": "object",
                "description": "Options of the navigation.\n      Merged into those that stand.",
                "additionalProperties": True,
            },
        },
        "required": ["url"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    },
}

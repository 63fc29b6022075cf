"""Requests as a model reads them: the tools, the instructions, then each item with its role, in a few words more.

Standard library only: it is imported in the peers' environment as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def dumped(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def prompt_of(body: Mapping[str, Any]) -> list[str]:
    """Return the pieces of a request to the Responses API or to Chat Completions, in the order of the prompt."""
    items: Sequence[Mapping[str, Any]] = body.get("input") or body["messages"]
    instructions = [f"system\n{body['instructions']}\n"] if body.get("instructions") else []
    return [dumped(body["tools"]), *instructions, *(piece for item in items for piece in pieces_of(item))]


def pieces_of(item: Mapping[str, Any]) -> list[str]:
    """Return what a model reads of an item: one piece, and for a message that holds calls one for each."""
    if item.get("type") == "function_call":
        return [_call(item)]
    if item.get("type") == "function_call_output":
        return [f"tool\n{_text(item['output'])}\n"]
    calls = [_call(call["function"]) for call in item.get("tool_calls") or ()]
    text = _text(item.get("content"))
    said = [f"{item['role']}\n{text}\n"] if text or not calls else []
    return [*said, *calls]


def _call(function: Mapping[str, Any]) -> str:
    return f"assistant to {function['name']}\n{function['arguments']}\n"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)  # type: ignore[reportUnknownVariableType]
    return content or ""

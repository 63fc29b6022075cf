"""Answers as llama.cpp gives them: near to the contract of OpenAI, and short of it."""

from __future__ import annotations

from typing import cast

from .replies import JSON

_NOT_SENT = frozenset({"sequence_number", "content_index", "output_index", "summary_index", "logprobs"})
_NOT_IN_RESPONSE = frozenset({"parallel_tool_calls", "tool_choice", "tools", "incomplete_details", "error"})


def llama_cpp_responses(value: JSON) -> JSON:
    """Leave out what llama.cpp leaves out of its Responses bodies and events."""
    kept = {key: item for key, item in value.items() if key not in _NOT_SENT}
    if isinstance(kept.get("response"), dict):
        kept["response"] = _bare_response(cast("JSON", kept["response"]))
    if isinstance(kept.get("item"), dict):
        kept["item"] = _bare_item(cast("JSON", kept["item"]))
    return _bare_response(kept) if kept.get("object") == "response" else kept


def llama_cpp_chat(value: JSON) -> JSON:
    """Chat Completions with content `""` where OpenAI sends null."""
    return {**value, "choices": [_bare_choice(choice) for choice in value["choices"]]}


def _bare_response(response: JSON) -> JSON:
    kept = {key: item for key, item in response.items() if key not in _NOT_IN_RESPONSE}
    return {**kept, "output": [_bare_item(item) for item in kept["output"]]}


def _bare_item(item: JSON) -> JSON:
    return {key: part for key, part in item.items() if key != "id" or item["type"] != "function_call"}


def _bare_choice(choice: JSON) -> JSON:
    kept = {key: item for key, item in choice.items() if key != "logprobs"}
    if "message" in kept:
        message = {key: item for key, item in kept["message"].items() if key not in {"refusal", "annotations"}}
        kept["message"] = {**message, "content": message["content"] or ""}
    return kept

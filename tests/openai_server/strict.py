"""What a strict provider checks in a request before it answers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from .replies import JSON

Route = Literal["responses", "chat"]

_BOTH = """
    metadata model moderation parallel_tool_calls prompt_cache_key prompt_cache_options prompt_cache_retention
    safety_identifier service_tier store stream stream_options temperature tool_choice tools top_logprobs top_p user
"""
ACCEPTED: Mapping[Route, frozenset[str]] = {
    "responses": frozenset(
        f"""{_BOTH} access_programs background background_options context_management conversation image include input
        instructions max_output_tokens max_tool_calls previous_response_id prompt reasoning text truncation""".split()
    ),
    "chat": frozenset(
        f"""{_BOTH} audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens
        messages modalities n prediction presence_penalty reasoning_effort response_format seed stop verbosity
        web_search_options""".split()
    ),
}
"""The top-level keys of each route, as of openai 3.54."""
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ITEM_TYPES = frozenset({"message", "function_call", "function_call_output", "reasoning", "compaction"})
_ROLES: Mapping[Route, frozenset[str]] = {
    "responses": frozenset({"user", "assistant", "system", "developer"}),
    "chat": frozenset({"user", "assistant", "system", "developer", "tool"}),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is refused."""

    message: str
    param: str | None = None
    status: int = 400
    code: str | None = None


def find_problem(route: Route, body: Mapping[str, Any]) -> Problem | None:
    """The first thing a strict provider would refuse, or None."""
    problems = _responses_problems(body) if route == "responses" else _chat_problems(body)
    return next((problem for part in (_settings_problems(route, body), problems) for problem in part), None)


def _settings_problems(route: Route, body: Mapping[str, Any]) -> Iterator[Problem]:
    for key in body.keys() - ACCEPTED[route]:
        yield Problem(f"Unknown parameter: '{key}'.", key, code="unknown_parameter")
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield Problem("you must provide a model parameter", "model")
    if "stream_options" in body and body.get("stream") is not True:
        yield Problem("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield Problem("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    for key in ("tool_choice", "parallel_tool_calls"):
        if route == "chat" and key in body and not body.get("tools"):
            yield Problem(f"'{key}' is only allowed when 'tools' are specified.", key)
    yield from _tool_problems(route, body)


def _tool_problems(route: Route, body: Mapping[str, Any]) -> Iterator[Problem]:
    if route == "chat" and body.get("tools") == []:
        yield Problem("Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools")
    seen: set[str] = set()
    for index, tool in enumerate(cast("Sequence[JSON]", body.get("tools") or ())):
        param = f"tools[{index}]"
        if tool.get("type") != "function":
            if route == "chat":
                yield Problem(f"Invalid value: '{tool.get('type')}'.", f"{param}.type")
            continue
        function = tool.get("function") if route == "chat" else tool
        if not isinstance(function, dict):
            yield Problem(f"Missing required parameter: '{param}.function'.", f"{param}.function")
            continue
        yield from _function_problems(cast("JSON", function), param)
        if (name := str(cast("JSON", function).get("name"))) in seen:
            yield Problem(f"Tool names must be unique: '{name}'.", param)
        seen.add(name)


def _function_problems(function: JSON, param: str) -> Iterator[Problem]:
    name, schema = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.match(name):
        yield Problem(f"Invalid '{param}.name': string does not match pattern.", f"{param}.name")
    if schema is None:
        return
    if not isinstance(schema, dict) or cast("JSON", schema).get("type") != "object":
        yield Problem(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
            f"{param}.parameters",
            code="invalid_function_parameters",
        )
    elif function.get("strict") is True:
        yield from _strict_schema_problems(cast("JSON", schema), name, param)


def _strict_schema_problems(schema: JSON, name: object, param: str) -> Iterator[Problem]:
    wrong = None
    if schema.get("additionalProperties") is not False:
        wrong = "'additionalProperties' is required to be supplied and to be false"
    elif set(schema.get("required", ())) != set(schema.get("properties", ())):
        wrong = "'required' is required to be supplied and to be an array including every key in properties"
    if wrong:
        message = f"Invalid schema for function '{name}': {wrong}."
        yield Problem(message, f"{param}.parameters", code="invalid_function_parameters")


def _responses_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    given = body.get("input")
    if isinstance(given, str):
        return
    if not isinstance(given, list) or not given:
        yield Problem("Missing required parameter: 'input'.", "input", code="missing_required_parameter")
        return
    items = cast("list[JSON]", given)
    for index, item in enumerate(items):
        yield from _item_problems(item, f"input[{index}]")
    yield from _reasoning_problems(items, stored=body.get("store") is not False)
    yield from _pairing_problems(items)


def _pairing_problems(items: Sequence[JSON]) -> Iterator[Problem]:
    calls = [str(item.get("call_id")) for item in items if item.get("type") == "function_call"]
    yield from _duplicates(calls, "function_call")
    open_calls: list[str] = []
    for item in items:
        call_id = str(item.get("call_id"))
        if item.get("type") == "function_call":
            open_calls.append(call_id)
        elif item.get("type") == "function_call_output" and call_id in open_calls:
            open_calls.remove(call_id)
        elif item.get("type") == "function_call_output":
            yield Problem(f"No tool call found for function call output with call_id {call_id}.", "input")
    for call_id in open_calls:
        yield Problem(f"No tool output found for function call {call_id}.", "input")


def _item_problems(item: JSON, param: str) -> Iterator[Problem]:
    kind = item.get("type", "message")
    if kind not in _ITEM_TYPES:
        yield Problem(f"Invalid value: '{kind}'.", param, code="invalid_value")
    elif kind == "message":
        yield from _message_problems("responses", item, param)
    elif kind == "function_call":
        yield from _missing(item, ("call_id", "name", "arguments"), param)
    elif kind == "function_call_output":
        yield from _missing(item, ("call_id",), param)
        if not isinstance(item.get("output"), str | list):
            yield Problem(f"Missing required parameter: '{param}.output'.", param, code="missing_required_parameter")


def _message_problems(route: Route, message: JSON, param: str) -> Iterator[Problem]:
    role = message.get("role")
    if role not in _ROLES[route]:
        yield Problem(f"Invalid value: '{role}'.", f"{param}.role", code="invalid_value")
    elif not isinstance(message.get("content"), str | list) and not (route == "chat" and role == "assistant"):
        yield Problem(f"Missing required parameter: '{param}.content'.", f"{param}.content")


def _reasoning_problems(items: Sequence[JSON], *, stored: bool) -> Iterator[Problem]:
    for item, following in zip(items, [*items[1:], cast("JSON", {})], strict=True):
        if item.get("type") != "reasoning":
            continue
        name = f"Item '{item.get('id')}' of type 'reasoning'"
        yield from _missing(item, ("id", "summary"), name)
        if following.get("role") != "assistant" and following.get("type") not in {"reasoning", "function_call"}:
            yield Problem(f"{name} was provided without its required following item.", "input")
        sealed = item.get("encrypted_content")
        if sealed is None and not stored:
            message = (
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
            )
            yield Problem(message, "input", status=404)
        elif sealed is not None and not _is_sealed(sealed):
            yield Problem("The encrypted content could not be verified.", code="invalid_encrypted_content")


def _is_sealed(text: object) -> bool:
    if not isinstance(text, str) or not text.startswith("gAAAAA"):
        return False
    try:
        base64.b64decode(text.removeprefix("gAAAAA"), altchars=b"-_", validate=True)
    except binascii.Error:
        return False
    return True


def _chat_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    messages = cast("list[JSON]", body.get("messages") or [])
    if not messages:
        yield Problem("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        param = f"messages[{index}]"
        yield from _message_problems("chat", message, param)
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                yield Problem(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    f"{param}.role",
                )
            else:
                open_calls.remove(message["tool_call_id"])
            continue
        yield from _unanswered(open_calls, param)
        yield from _assistant_problems(message, param)
        open_calls = [str(call.get("id")) for call in message.get("tool_calls") or ()]
        yield from _duplicates(open_calls, "tool_calls")
    yield from _unanswered(open_calls, "messages")


def _assistant_problems(message: JSON, param: str) -> Iterator[Problem]:
    if message.get("role") != "assistant":
        return
    if message.get("tool_calls") == []:
        yield Problem(f"Invalid '{param}.tool_calls': empty array.", f"{param}.tool_calls")
    if all(message.get(key) is None for key in ("content", "tool_calls", "refusal")):
        yield Problem(f"Invalid value for 'content': expected a string, got null. ('{param}')", param)
    for call in cast("Sequence[JSON]", message.get("tool_calls") or ()):
        yield from _missing(call, ("id", "type", "function"), param)
        yield from _missing(call.get("function") or {}, ("name", "arguments"), f"{param}.tool_calls[].function")


def _unanswered(open_calls: Iterable[str], param: str) -> Iterator[Problem]:
    if missing := ", ".join(open_calls):
        message = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {missing}"
        )
        yield Problem(message, param)


def _missing(item: JSON, keys: Iterable[str], param: str) -> Iterator[Problem]:
    for key in keys:
        if key not in item:
            yield Problem(f"Missing required parameter: '{param}.{key}'.", param, code="missing_required_parameter")
        elif key in {"arguments", "call_id", "name"} and not isinstance(item[key], str):
            yield Problem(f"Invalid type for '{param}.{key}': expected a string.", param, code="invalid_type")


def _duplicates(ids: Sequence[str], what: str) -> Iterator[Problem]:
    if len(set(ids)) != len(ids):
        yield Problem(f"Duplicate ids in {what}: {', '.join(ids)}.")

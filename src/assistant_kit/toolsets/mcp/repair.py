"""Answers of a server that break the protocol, put right as far as that loses nothing.

SDK 2.3 holds every answer against the schema of the protocol, and one bad piece costs the whole: one tool without a
schema all tools, one unknown block of content the result of a call that has run (reference/mcp.md, defect 4).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from mcp.types import INVALID_REQUEST, PARSE_ERROR, ContentBlock, ErrorData, JSONRPCError
from mcp_types.methods import validate_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

Result: TypeAlias = dict[str, Any]
Note: TypeAlias = Callable[[str], None]

_BLOCK: TypeAdapter[ContentBlock] = TypeAdapter(ContentBlock)
_CACHING = {"ttlMs": 0, "cacheScope": "private"}  # of lists, in the newer protocol: read again whenever needed
_CALLS = ("tools/call", "tasks/result")
_NEEDED = ("name", "inputSchema")  # what a tool cannot do without
_ID = re.compile(rb'"id"\s*:\s*(\d+|"[^"\\]{1,200}")')
_WORDS = 200  # characters of what the schema finds wrong


def mended(method: str, version: str, result: Result, note: Note) -> Result:
    """Return an answer as the protocol wants it; `note` is told what was changed or left out.

    What cannot be put right comes back as it is, and so does what is no result yet: a task, or a question.
    """
    if _problem(method, version, result) is None:
        return result
    found = dict(result)
    if version in MODERN_PROTOCOL_VERSIONS:
        _complete(method, version, found, note)
    if method == "tools/list":
        _mend_list(version, found, note)
    elif method in _CALLS and _is_outcome(found):
        _mend_outcome(version, found, note)
    return found


def broken_answer(line: bytes) -> JSONRPCError | None:
    """Turn a line that is no message of the protocol into the failure of the request that it seems to answer.

    None for what answers nothing: a banner, a forgotten print.
    """
    found = _ID.search(line)
    if found is None or not (b'"result"' in line or b'"error"' in line or b'"jsonrpc"' in line):
        return None
    try:
        said: object = json.loads(line)
    except ValueError:
        code, words = PARSE_ERROR, "the server's answer is cut off or no JSON"
    else:
        if isinstance(said, dict) and "method" in said:
            return None
        code, words = INVALID_REQUEST, "the server's answer is no message of the protocol"
    error = ErrorData(code=PARSE_ERROR, message=f"{words} ({code})")
    return JSONRPCError(jsonrpc="2.0", id=json.loads(found[1]), error=error)


def _complete(method: str, version: str, found: Result, note: Note) -> None:
    """Add what every answer of the newer protocol has to say of itself."""
    if "resultType" not in found and "taskId" not in found:
        found["resultType"] = "complete"
        note(f"{method}: resultType is missing")
    for key, value in _CACHING.items():
        # Only lists have these; elsewhere the schema does not ask for them.
        if _problem_at(method, version, found, key):
            found[key] = value


def _mend_list(version: str, found: Result, note: Note) -> None:
    tools: object = found.get("tools")
    listed = cast("list[Any]", tools) if isinstance(tools, list) else []
    whole = [_mended_tool(version, tool, note) for tool in listed]
    found["tools"] = [tool for tool in whole if tool is not None]
    if not isinstance(found.get("nextCursor"), str):
        found.pop("nextCursor", None)
    _without_meta(found)


def _mended_tool(version: str, given: object, note: Note) -> dict[str, Any] | None:
    if not isinstance(given, dict):
        note("a tool is left out: it is no object")
        return None
    tool = dict(cast("dict[str, Any]", given))
    name = repr(tool.get("name"))
    schema: object = tool.get("inputSchema")
    if schema is None or (isinstance(schema, dict) and "type" not in schema):
        tool["inputSchema"] = {"type": "object", **cast("dict[str, Any]", schema or {})}
        note(f"tool {name}: the schema of its arguments does not say that they are an object")
    problem = _tool_problem(version, tool)
    while problem is not None and problem[0] not in _NEEDED and problem[0] in tool:
        note(f"tool {name}: {problem[0]} is left out: {problem[1]}")
        del tool[problem[0]]
        problem = _tool_problem(version, tool)
    if problem is not None:
        note(f"tool {name} is left out: {problem[0]}: {problem[1]}")
        return None
    return tool


def _tool_problem(version: str, tool: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return which field of a tool breaks the protocol, and how."""
    error = _problem("tools/list", version, {"tools": [tool], "resultType": "complete", **_CACHING})
    if error is None:
        return None
    first = error.errors()[0]
    field = next((str(step) for step in first["loc"][2:3]), "")  # behind ("tools", 0)
    return field, first["msg"][:_WORDS]


def _is_outcome(found: Result) -> bool:
    """Tell whether an answer to a call is its outcome, and not a task or a question."""
    return "task" not in found and "taskId" not in found and found.get("resultType", "complete") == "complete"


def _mend_outcome(version: str, found: Result, note: Note) -> None:
    content: object = found.get("content")
    if not isinstance(content, list):
        note("a result has no list of content")
        content = [] if content is None else [content]
    found["content"] = [_mended_block(block, note) for block in cast("list[Any]", content)]
    structured = found.get("structuredContent")
    if structured is not None and not isinstance(structured, dict) and version not in MODERN_PROTOCOL_VERSIONS:
        note("a result has structured content that is no object")
        del found["structuredContent"]
        found["content"] = found["content"] or [_as_text(structured)]
    if not isinstance(found.get("isError", False), bool):
        note("a result does not say with true or false whether it is an error")
        found["isError"] = bool(found["isError"])
    _without_meta(found)


def _mended_block(block: object, note: Note) -> dict[str, Any]:
    """Return a block that the protocol knows; another becomes its own JSON, for the model to read."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    fields = cast("dict[str, Any]", block) if isinstance(block, dict) else {}
    plain = {key: value for key, value in fields.items() if key not in ("annotations", "_meta")}
    for candidate in (fields, plain):
        kind = _kind_of(candidate)
        if kind is not None:  # the newer protocol can do without it, the older ones cannot
            return {"type": kind, **candidate}
    note(f"a result has a block of content that the protocol does not know: {str(fields.get('type'))[:_WORDS]}")
    return _as_text(cast("object", block))


def _kind_of(block: Mapping[str, Any]) -> str | None:
    try:
        return _BLOCK.validate_python(block, by_name=False).type
    except ValidationError:
        return None


def _as_text(value: object) -> dict[str, Any]:
    return {"type": "text", "text": json.dumps(value, ensure_ascii=False)}


def _without_meta(found: Result) -> None:
    if not isinstance(found.get("_meta", {}), dict):
        del found["_meta"]


def _problem(method: str, version: str, result: Mapping[str, Any]) -> ValidationError | None:
    try:
        validate_server_result(method, version, result)
    except ValidationError as error:
        return error
    except (KeyError, ValueError):  # a method, or a version, that the schema does not know
        pass
    return None


def _problem_at(method: str, version: str, result: Mapping[str, Any], key: str) -> bool:
    error = _problem(method, version, result)
    return error is not None and any(key in one["loc"] for one in error.errors())

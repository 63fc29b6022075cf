"""Request bodies, joined from pieces that are ready-made bytes."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from pydantic_core import PydanticSerializationError, to_json

from assistant_kit.errors import InputError
from assistant_kit.messages import File, Image, JsonObject
from assistant_kit.tool_spec import HostedTool, ToolSpec

Tools: TypeAlias = Sequence[ToolSpec | HostedTool]
_MOST_TOOL_LISTS = 32


def dump(value: object) -> bytes:
    """Return a value as compact JSON; half a surrogate pair, which no UTF-8 can hold, becomes a question mark."""
    try:
        return to_json(value, fallback=_plain)
    except (PydanticSerializationError, UnicodeEncodeError):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode(errors="replace")


def join(settings: Mapping[str, Any], extra: JsonObject, pieces: Mapping[str, bytes]) -> bytes:
    """Return the body of a request: `settings`, over them `extra`, then the JSON of `pieces` that `extra` does not set.

    An object in `extra` is merged into the object of the same name, so that `{"text": {"verbosity": "low"}}` leaves
    the schema of the output where it is.
    """
    merged = dict(settings)
    for key, value in extra.items():
        known = merged.get(key)
        merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value
    parts = [dump(merged)[:-1]]
    for key, piece in pieces.items():
        if key not in extra:
            parts += (b',"', key.encode(), b'":', piece)
    parts.append(b"}")
    return b"".join(parts)


def data_url(part: Image | File, media_type: str) -> str:
    """Return the content of a picture or a document as a URL that holds it; InputError when it has none."""
    if part.data is None:
        raise InputError(f"the {part.kind} has neither data nor url: give it one of them")
    return f"data:{part.media_type or media_type};base64,{base64.b64encode(part.data).decode()}"


class ToolFragments:
    """The JSON of lists of tools, made once for each list of the same tools; `shape` tells how one is written."""

    def __init__(self, shape: Callable[[ToolSpec], Mapping[str, object]]) -> None:
        self._shape = shape
        self._known: dict[tuple[int, ...], tuple[Tools, bytes]] = {}

    def of(self, tools: Tools) -> bytes:
        """Return the JSON array of these tools."""
        key = tuple(map(id, tools))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_TOOL_LISTS:
                self._known.clear()
            written = [tool.declaration if isinstance(tool, HostedTool) else self._shape(tool) for tool in tools]
            known = self._known[key] = (tuple(tools), dump(written))  # the tools are held, so no id comes again
        return known[1]


def hosted_choice(name: str, tools: Tools) -> bool:
    """Tell whether a tool choice is the type of a hosted tool rather than the name of a function."""
    return any(isinstance(tool, HostedTool) and tool.declaration.get("type") == name for tool in tools)


def _plain(value: Any) -> Any:
    """Return a mapping or a sequence as one that JSON knows."""
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else list(value)

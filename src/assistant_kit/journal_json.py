"""The stable form of journal entries: one JSON object an entry, with the version of the format first.

Unknown fields are refused, not dropped: an entry is read whole or is an error that names it.
"""

from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, cast

from pydantic_core import from_json, to_json

from assistant_kit.entries import (
    FORMAT_VERSION,
    ApprovalDecided,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.errors import UnreadableEntry
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.tool_spec import Keyed
from assistant_kit.usage import Usage


def encode(measured: Measured) -> bytes:
    """Return the body of a record."""
    head = b'{"v":%d,"by":%s,' % (FORMAT_VERSION, to_json(measured.counted_by))
    return head + to_json(measured.entry, bytes_mode="base64")[1:]


def decode(body: bytes, *, conversation: str, seq: int, tokens: int, at: float) -> Measured:
    """Return the entry in the body of a record. Raises UnreadableEntry."""
    try:
        data = from_json(body)
        version = data.pop("v")
        if version != FORMAT_VERSION:
            problem = f"format version {version!r}, and this version of assistant_kit reads {FORMAT_VERSION}"
            raise UnreadableEntry(conversation, seq, problem)
        counted_by = data.pop("by")
        entry = _value(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableEntry(conversation, seq, f"{type(error).__name__}: {error}") from error
    if not isinstance(entry, _ENTRIES):
        raise UnreadableEntry(conversation, seq, f"a {data['kind']!r} is no entry")
    return Measured(entry=entry, tokens=tokens, counted_by=counted_by, seq=seq, at=at)


def _value(data: Any) -> Any:
    if isinstance(data, dict):
        fields_of = cast("dict[str, Any]", data)
        return _object(_KINDS[fields_of["kind"]], fields_of)
    if isinstance(data, list):
        return tuple(_value(item) for item in cast("list[Any]", data))
    message = f"an object was expected, not {data!r}"
    raise TypeError(message)


def _object(kind: type[Any], data: Mapping[str, Any]) -> Any:
    nested = _NESTED.get(kind, {})
    missing = _REQUIRED[kind] - data.keys()
    if missing:
        message = f"{kind.__name__} without {', '.join(sorted(missing))}"
        raise ValueError(message)
    return kind(**{name: nested[name](value) if name in nested else value for name, value in data.items()})


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda data: None if data is None else read(data)


def _usage(data: Any) -> Usage:
    return Usage(**data)


def _effect(data: Any) -> Any:
    return data if isinstance(data, str) else Keyed(**data)


_ENTRIES = (TurnStarted, ModelResponded, ToolStarted, ToolFinished, ApprovalDecided, TurnFinished)
_ITEMS = (UserMessage, DeveloperMessage, AssistantMessage, ToolCall, ToolAnswer, Reasoning, ProviderItem)
_CLASSES: tuple[type[Any], ...] = (*_ENTRIES, *_ITEMS, Text, Image, File)
_KINDS: dict[Any, type[Any]] = {
    field.default: kind for kind in _CLASSES for field in fields(kind) if field.name == "kind"
}
_REQUIRED: dict[type[Any], frozenset[str]] = {
    kind: frozenset(
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    )
    for kind in _CLASSES
}
_NESTED: dict[type[Any], dict[str, Callable[[Any], Any]]] = {
    TurnStarted: {"input": _value},
    ModelResponded: {"items": _value, "usage": _usage, "prompt": _optional(_value)},
    ToolStarted: {"effect": _effect},
    ToolFinished: {"content": _value},
    TurnFinished: {"usage": _usage},
    UserMessage: {"content": _value},
    ToolAnswer: {"content": _value},
    Image: {"data": _optional(urlsafe_b64decode)},
    File: {"data": _optional(urlsafe_b64decode)},
}

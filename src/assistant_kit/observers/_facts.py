"""A notice as plain facts, by name: what a line of a log, or another flat record, is made of."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from assistant_kit.messages import AssistantMessage, Json, Text, ToolCall, UserMessage, text_of
from assistant_kit.protocols.observer import Notice
from assistant_kit.protocols.policy import ConditionChanged
from assistant_kit.tool_spec import Keyed
from assistant_kit.usage import Usage

NANO: Final = 1e-9
"""Dollars of a nanodollar."""
_HIDDEN = ("kind", "span")
_WHOSE = ("user", "owner")


def facts_of(notice: Notice, *, users: bool) -> dict[str, Json]:
    """Return what a notice tells; what it does not know is left out. `users` tells whether users are named.

    Content is in it, as text, when it is in the notice.
    """
    found: dict[str, Json] = {}
    _take(notice, found)
    return {name: value for name, value in found.items() if users or name not in _WHOSE}


def _take(data: Any, found: dict[str, Json]) -> None:
    for field in fields(data):
        value = getattr(data, field.name)
        if field.name not in _HIDDEN and value is not None and value != "":
            _put(field.name, value, found)


def _put(name: str, value: Any, found: dict[str, Json]) -> None:
    if name == "began" or isinstance(value, Usage):
        _take(value, found)
    elif isinstance(value, ConditionChanged):
        _put_condition(value, found)
    elif isinstance(value, Keyed):
        found[name] = f"keyed({value.ttl:g})"
    elif name == "cost":
        found["cost_dollars"] = value * NANO
    elif name in ("messages", "content"):
        found[name] = "\n".join(filter(None, map(_words, value)))
    else:
        found[name] = round(value, 6) if isinstance(value, float) else value


def _put_condition(change: ConditionChanged, found: dict[str, Json]) -> None:
    found.update(condition=change.name, before=change.before, after=change.after, ok=change.condition.ok)
    found.update({f"figure_{name}": figure for name, figure in figures_of(change.condition.data).items()})
    if change.owner:
        found["owner"] = change.owner


def figures_of(data: Mapping[str, Json]) -> dict[str, float]:
    """Return the numbers among the figures of a condition; of those that are parted, each part as `figure_part`."""
    found: dict[str, float] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found.update({f"{name}_{part}": number for part, number in figures_of(value).items()})
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def _words(item: object) -> str:
    """Return what an item, or a part of one, says in words."""
    if isinstance(item, AssistantMessage):
        return item.text or item.refusal or ""
    if isinstance(item, ToolCall):
        return f"{item.name}({item.arguments})"
    if isinstance(item, UserMessage):
        return text_of(item.content)
    return item.text if isinstance(item, Text) else ""

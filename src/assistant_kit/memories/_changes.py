"""What a model may propose to do to a memory, and how its answer is read: leniently, as small models write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeGuard, cast

from pydantic_core import from_json

from assistant_kit.protocols.model import OutputSchema

Action: TypeAlias = Literal["add", "update", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposal. `id` is the short name of a known memory; `quote` is what the user is said to have said."""

    action: Action
    id: str = ""
    text: str = ""
    quote: str = ""


_TEXT: Final = {"type": "string"}
_OR_NULL: Final = {"type": ["string", "null"]}
SCHEMA: Final = OutputSchema(
    name="memory_changes",
    schema={
        "type": "object",
        "properties": {
            "changes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "action": {"type": "string", "enum": ["add", "update", "forget"]},
                        "id": _OR_NULL,
                        "quote": _TEXT,
                        "text": _OR_NULL,
                    },
                    "required": ["action", "id", "quote", "text"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["changes"],
        "additionalProperties": False,
    },
)
"""What the model's answer has to look like, in the subset of JSON Schema that strict mode takes."""


def changes_in(text: str) -> list[Change] | None:
    """Return the proposals in an answer; None when there is no list of them.

    Prose and fences around the JSON are passed over, and so are proposals that make no sense.
    """
    found = _json_in(text)
    proposals = found.get("changes") if _is_object(found) else found
    if not isinstance(proposals, list):
        return None
    return [change for proposal in cast("list[object]", proposals) if (change := _change(proposal)) is not None]


def _json_in(text: str) -> object:
    """Return the JSON in a text: from the first bracket to the last one of its kind."""
    starts = [start for start in (text.find("{"), text.find("[")) if start >= 0]
    if not starts:
        return None
    start = min(starts)
    end = text.rfind("}" if text[start] == "{" else "]")
    try:
        return cast("object", from_json(text[start : end + 1].encode("utf-8", "replace")))
    except ValueError:
        return None


def _is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)


def _change(proposal: object) -> Change | None:
    if not _is_object(proposal):
        return None
    action = _action(proposal.get("action"))
    if action is None:
        return None
    values = {name: value.strip() for name in ("id", "text", "quote") if isinstance(value := proposal.get(name), str)}
    return Change(action=action, **values)


def _action(value: object) -> Action | None:
    actions: Sequence[Action] = ("add", "update", "forget")
    return next((action for action in actions if action == value), None)

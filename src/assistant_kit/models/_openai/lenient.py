"""Reading JSON that may have any shape: a field of the wrong kind counts as absent."""

from typing import Any, TypeGuard


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return type(value) is list


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object, or an empty one."""
    return value if _is_object(value) else {}


def as_list(value: object) -> list[Any]:
    """Return a JSON array, or an empty one."""
    return value if _is_list(value) else []


def as_text(value: object) -> str:
    """Return a text, or an empty one."""
    return value if type(value) is str else ""


def as_count(value: object) -> int:
    """Return a number of things, at least 0."""
    return max(0, value) if type(value) is int else 0

"""What binds a record or an approval to a call: the tool and its arguments, however they are written."""

import hashlib
import json

from assistant_kit.messages import Json, JsonObject

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def parsed_arguments(text: str) -> JsonObject | None:
    """Return the arguments of a call; None when they are no JSON object. No text at all means no arguments."""
    try:
        arguments: Json = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def call_digest(tool: str, arguments: str) -> str:
    """Return the digest that binds an approval or a record to a tool and its arguments, however they are written."""
    return digest_of(tool, parsed_arguments(arguments), arguments)


def digest_of(tool: str, parsed: JsonObject | None, text: str) -> str:
    """Return the digest of a call whose arguments are parsed already; `text` counts when they are no JSON object."""
    shown = text if parsed is None else _CANONICAL(parsed)
    return hashlib.blake2b(f"{tool}\0{shown}".encode(errors="replace"), digest_size=32).hexdigest()

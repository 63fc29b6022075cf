"""Names of the conversations that calls of nested assistants make, and how the journal of the caller tells of them.

A call leaves a note with the name before the conversation begins. So whoever deletes or exports the caller's journal
finds the conversations that belong to it, also after a crash.
"""

import re
from typing import Final

from assistant_kit.registry import CHILD

KEPT: Final = f"{CHILD}kept:"
"""Hidden conversations with these names hold long results, and are no nested ones."""

_NAME: Final = re.compile(f"{re.escape(CHILD)}(?!kept:).+:[0-9a-f]{{32}}", re.DOTALL)


def nested_conversation(tool: str, key: str) -> str:
    """Return the conversation for the call of a tool with this idempotency key."""
    return f"{CHILD}{tool}:{key[:32]}"


def is_nested(note: str) -> bool:
    """Tell whether a note of a call is the name of such a conversation."""
    return _NAME.fullmatch(note) is not None

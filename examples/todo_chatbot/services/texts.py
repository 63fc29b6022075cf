"""What texts may hold."""

import unicodedata

from examples.todo_chatbot.services.errors import Invalid

_HIDDEN = ("Cc", "Cs")  # control characters, halves of characters
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of bidirectional text


def checked(text: str, what: str, limit: int) -> str:
    """Return a text that fits its column and can be shown. Raises Invalid."""
    if len(text) > limit:
        raise Invalid(f"the {what} has {len(text)} characters and may have {limit}: shorten it")
    if not is_plain(text):
        raise Invalid(f"the {what} contains characters that cannot be shown: leave them out")
    return text


def is_plain(text: str) -> bool:
    """Tell whether a text can be shown, and shows all it says: no control characters, nothing that reverses letters."""
    shown = text.replace("\n", "").replace("\t", "")
    return all(unicodedata.category(char) not in _HIDDEN and char not in _TURNING for char in shown)

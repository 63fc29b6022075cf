"""The form of pseudonyms: `<EMAIL_1>`, letters that models copy without a mistake, and that JSON need not escape."""

import re
from typing import Final

from assistant_kit.maskers.rules.recogniser import ShapeRecogniser
from assistant_kit.maskers.rules.shapes import chars, sequence, word

LOOKALIKE: Final = "TEXT"
"""The kind of what looks like a pseudonym in a text from outside, and is none."""

_FORM: Final = re.compile(r"<[A-Z][A-Z0-9_]{0,30}_[1-9][0-9]{0,8}>")
_LONGEST: Final = 40


def _pseudonym(text: str, begin: int, end: int) -> tuple[int, int] | None:
    return (begin, end) if _FORM.fullmatch(text, begin, end) is not None else None


def pseudonym() -> ShapeRecogniser:
    """Make a recogniser of what has the form of a pseudonym."""
    shape = sequence(word("<"), chars("A-Z"), chars("A-Z0-9_", 2, _LONGEST), word(">"))
    return ShapeRecogniser(LOOKALIKE, shape, _pseudonym, before=())

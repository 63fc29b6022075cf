"""Telephone numbers in international form, and the North American one.

Other national forms look like any number: who has users of one country adds a `Pattern` for it.
"""

import re
from collections.abc import Iterator
from typing import Final

from assistant_kit.maskers.rules.recogniser import ShapeRecogniser, goes_on
from assistant_kit.maskers.rules.shapes import chars, either, sequence, word

_CODES: Final = re.compile(
    r"1|7|2(?:0|7|1[1-368]|[2-5][0-9]|6[0-9]|9[0-17-9])|3(?:[0-469]|[578][0-9])|4(?:[013-9]|2[013])"
    r"|5(?:[1-8]|0[0-9]|9[0-9])|6(?:[0-6]|[789][0-9])|8(?:[1246]|0[08]|5[0-9]|7[0-9]|8[0-36-8])"
    r"|9(?:[0-58]|6[0-8]|7[0-79]|9[2-68])"
)
"""Country codes in use: ITU-T, list of E.164 assigned country codes."""

_NORTH_AMERICAN: Final = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}")
_LENGTH_WITHIN: Final = {"1": (11, 11), "7": (11, 11)}
_LEAST: Final = 8
_MOST: Final = 15
"""Digits of a number with its country code (ITU-T E.164; the least is a rule of ours)."""

_GROUP: Final = re.compile(r"(?:[ \u00a0\u202f]?[(/][ ]?|\)[ \u00a0\u202f/-]?|[ \u00a0\u202f./\u2010\u2011-])?([0-9]+)")
_BETWEEN: Final = r" \u00a0\u202f()./\u2010\u2011-"
_SAME_GAPS: Final = re.compile(r"(?:1[- .])?(?:\([0-9]{3}\) ?[0-9]{3}[- .]|[0-9]{3}([-.])[0-9]{3}\1)[0-9]{4}")


def _groups(text: str, begin: int, end: int) -> Iterator[tuple[int, str]]:
    """Return where the number may stop, the last first, with the digits before each.

    Groups of digits have one gap between them; where there is more, the number is over.
    """
    stops: list[tuple[int, str]] = []
    digits, place = "", begin
    while (group := _GROUP.match(text, place, end)) is not None:
        digits += group[1]
        place = group.end()
        stops.append((place, digits))
    return reversed(stops)


def _international(text: str, begin: int, end: int) -> tuple[int, int] | None:
    if text[end - 1].isdigit() and goes_on(text, end):
        return None
    first = begin + (1 if text[begin] == "+" else 2)
    for stop, digits in _groups(text, first, end):
        in_groups = stop - first > len(digits)
        if _is_number(digits) and (in_groups or text[begin] == "+"):
            return begin, stop
    return None


def _is_number(digits: str) -> bool:
    code = _CODES.match(digits)
    if code is None:
        return False
    least, most = _LENGTH_WITHIN.get(code[0], (_LEAST, _MOST))
    return least <= len(digits) <= most and (code[0] != "1" or _NORTH_AMERICAN.fullmatch(digits) is not None)


def _north_american(text: str, begin: int, end: int) -> tuple[int, int] | None:
    found = _SAME_GAPS.match(text, begin, end)
    if found is None or goes_on(text, found.end()):
        return None
    digits = "".join(letter for letter in found[0] if letter.isdigit())
    return (begin, found.end()) if _NORTH_AMERICAN.fullmatch(digits) is not None else None


def phone() -> ShapeRecogniser:
    """Make a recogniser of numbers that begin with + or 00 and a country code; those with 00 are in groups."""
    start = either(word("+"), word("00"))
    shape = sequence(start, chars(r"(1-9", 1, 2), chars(f"0-9{_BETWEEN}", 6, 26))
    return ShapeRecogniser("PHONE", shape, _international, before=(r"[\w+]", r"[0-9][-.,/:(]", r"[#$€£]"))


def north_american_phone() -> ShapeRecogniser:
    """Make a recogniser of (212) 555-0123, 212-555-0123 and 212.555.0123, also behind a 1."""
    shape = sequence(chars("(1-9"), chars("0-9() .-", 11, 15))
    return ShapeRecogniser("PHONE", shape, _north_american, before=(r"\w", r"[0-9][-.,/:(]", r"\w-", r"[#$€£]"))

"""Numbers of persons and their money: cards, IBAN, US social security numbers, German tax ids."""

import re
from collections import Counter
from collections.abc import Container, Iterator
from typing import Final

from assistant_kit.maskers.rules.checksums import luhn, mod_11_10, mod_97
from assistant_kit.maskers.rules.recogniser import ShapeRecogniser, goes_on
from assistant_kit.maskers.rules.shapes import chars, repeated, sequence

_BLANKS: Final = " \u00a0\u202f"
_GAP: Final = f"{_BLANKS}-"
"""What may stand between groups of digits: a blank, or a hyphen."""

_NOT_BEFORE: Final = (r"\w", r"[0-9][-.,/:]", r"[#$€£]")
_NO_NAME_BEFORE: Final = (*_NOT_BEFORE, r"\w-")  # AB-123-45-6789 is the number of a part

_CARDS: Final = (
    (re.compile(r"4"), (16, 19)),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"30[0-5]|3095|3[689]"), (14, 16, 19)),  # Diners Club
    (re.compile(r"6011|64[4-9]|65"), (16, 19)),  # Discover
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 19)),  # JCB
    (re.compile(r"62|81"), (16, 19)),  # UnionPay
    (re.compile(r"50|5[6-8]|6[037]"), (16, 18, 19)),  # Maestro
)
"""Beginnings of card numbers with the lengths in use; ISO/IEC 7812, as the networks publish theirs.

The old and rare lengths of 12 and 13 digits are left out: European article numbers (EAN-13) begin like them.
"""

_CARD_BEGINS: Final = re.compile(r"[45]|2[27]|2[3-6]|3[04-9]|6|81")  # most numbers are none at the first glance
_SHORTEST_CARD: Final = 14
_LONGEST_CARD: Final = 19
_CARD_LENGTHS: Final = range(_SHORTEST_CARD, _LONGEST_CARD + 1)

IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Characters of an IBAN by country: SWIFT's IBAN registry."""

_LONGEST_IBAN: Final = 34
_TAX_ID_DIGITS: Final = 11
_MOST_REPEATED: Final = 3


def _compact(text: str) -> str:
    return "".join(letter for letter in text if letter not in _GAP)


def _numbers(text: str, begin: int, end: int, lengths: Container[int]) -> Iterator[tuple[int, str]]:
    """Return where a number of such a length may stop, the longest first, with what it is without gaps.

    It stops at a blank, or where the text does not go on with more of it.
    """
    number = _compact(text[begin:end])
    stops: list[tuple[int, int]] = []
    length = 0
    for place in range(begin, end):
        if text[place] in _GAP:
            continue
        length += 1
        stop = place + 1
        if length in lengths and (text[stop] in _BLANKS if stop < end else not goes_on(text, stop)):
            stops.append((stop, length))
    return ((stop, number[:length]) for stop, length in reversed(stops))


def _is_card(number: str) -> bool:
    fits = any(len(number) in lengths and start.match(number) is not None for start, lengths in _CARDS)
    return fits and luhn(number) and len(set(number)) > 1


def _card(text: str, begin: int, end: int) -> tuple[int, int] | None:
    if not _CARD_BEGINS.match(text, begin):
        return None
    for stop, number in _numbers(text, begin, end, _CARD_LENGTHS):
        if _is_card(number):
            return begin, stop
    return None


def _iban(text: str, begin: int, end: int) -> tuple[int, int] | None:
    length = IBAN_LENGTHS.get(text[begin : begin + 2].upper())
    if length is None:
        return None
    for stop, number in _numbers(text, begin, end, {length}):
        if mod_97(number):
            return begin, stop
    return None


def _social_security(text: str, begin: int, end: int) -> tuple[int, int] | None:
    area, group, serial = text[begin : begin + 3], text[begin + 4 : begin + 6], text[begin + 7 : end]
    given_out = area not in {"000", "666"} and not area.startswith("9") and group != "00" and serial != "0000"
    same = text[begin + 3] == text[begin + 6]
    return (begin, end) if given_out and same and not goes_on(text, end) else None


def _tax_id(text: str, begin: int, end: int) -> tuple[int, int] | None:
    for stop, number in _numbers(text, begin, end, {_TAX_ID_DIGITS}):
        if _is_tax_id(number):
            return begin, stop
    return None


def _is_tax_id(number: str) -> bool:
    """Tell whether one of the first ten digits is there two or three times, and no other twice, and the check is right.

    Bundeszentralamt für Steuern, "Steueridentifikationsnummer", about its structure.
    """
    counts = sorted(Counter(number[:-1]).values())
    repeats = counts[-1] in (2, _MOST_REPEATED) and counts[-2] == 1
    return number[0] != "0" and repeats and mod_11_10(number)


def card() -> ShapeRecogniser:
    """Make a recogniser of card numbers: 14 to 19 digits of a network, with Luhn's check digit."""
    digits = repeated(sequence(chars(_GAP, 0, 1), chars("0-9")), _SHORTEST_CARD - 1, _LONGEST_CARD - 1)
    return ShapeRecogniser("CARD", sequence(chars("0-9"), digits), _card, before=_NOT_BEFORE)


def iban() -> ShapeRecogniser:
    """Make a recogniser of international bank account numbers: a country's length, and both check digits."""
    rest = repeated(sequence(chars(_GAP, 0, 1), chars("A-Za-z0-9")), min(IBAN_LENGTHS.values()) - 4, _LONGEST_IBAN - 4)
    # The check digits may stand behind a gap: some write DE 89 3704….
    shape = sequence(chars("A-Za-z", 2, 2), chars(_GAP, 0, 1), chars("0-9", 2, 2), rest)
    return ShapeRecogniser("IBAN", shape, _iban)


def us_social_security() -> ShapeRecogniser:
    """Make a recogniser of US social security numbers, 123-45-6789, of areas and groups that are given out."""
    gap = chars("- ")
    shape = sequence(chars("0-9", 3, 3), gap, chars("0-9", 2, 2), gap, chars("0-9", 4, 4))
    return ShapeRecogniser("US_SSN", shape, _social_security, before=_NO_NAME_BEFORE)


def german_tax_id() -> ShapeRecogniser:
    """Make a recogniser of German tax identification numbers: 11 digits with their structure and check digit."""
    digits = repeated(sequence(chars(_GAP, 0, 1), chars("0-9")), _TAX_ID_DIGITS - 1, _TAX_ID_DIGITS - 1)
    return ShapeRecogniser("DE_TAX_ID", sequence(chars("1-9"), digits), _tax_id, before=_NO_NAME_BEFORE)

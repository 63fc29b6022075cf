"""Check digits of numbers. Each function takes ASCII digits (an IBAN: capital letters too), without separators."""

from typing import Final

_TEN: Final = 10
_NINE: Final = 9


def luhn(digits: str) -> bool:
    """Tell whether the check digit of a card number is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        added = 2 * digit if place % 2 else digit
        total += added - _NINE if added > _NINE else added
    return total % _TEN == 0


def mod_97(iban: str) -> bool:
    """Tell whether the check digits of an IBAN are right (ISO 13616-1, by ISO/IEC 7064 MOD 97-10)."""
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """Tell whether the last digit is right (ISO/IEC 7064 MOD 11,10), as in German tax ids."""
    product = _TEN
    for digit in map(int, digits[:-1]):
        product = ((product + digit) % _TEN or _TEN) * 2 % 11
    return (product + int(digits[-1])) % _TEN == 1

"""What must not become a memory: passwords, keys, card numbers. A net with wide meshes, beside the instructions."""

import re

_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
    r"|\bxox[abprs]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\."
)
_IS = r"[^.\n]{0,40}?(?:\b(?:is|was|ist|lautet|es|est)\b|[:=])\s*[\"'“«]?"
_NAMED = re.compile(
    r"\b(?:pass(?:word|phrase|code|wort)|passwd|pwd|kennwort|secret key|api[- _]?key|access[- _]?token"
    rf"|mot de passe|contraseña|senha)\b{_IS}(?P<value>[^\s\"'”»]+)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(rf"\b(?:pin|cvv2?|cvc2?)\b{_IS}\d{{3,}}", re.IGNORECASE)
_HARMLESS = frozenset(("a", "an", "the", "not", "no", "in", "kept", "stored", "saved", "lost", "written", "known"))


def looks_secret(text: str) -> bool:
    """Tell whether a text seems to hold a card number, a key, or a password with its value."""
    if _KEYS.search(text) or _NUMBERED.search(text) or any(_is_card(match[0]) for match in _CARD.finditer(text)):
        return True
    return any(match["value"].casefold().strip(".,;!") not in _HARMLESS for match in _NAMED.finditer(text))


def _is_card(number: str) -> bool:
    """Tell whether the check digit is right (ISO/IEC 7812, Luhn)."""
    digits = [int(letter) for letter in reversed(number) if letter.isdigit()]
    doubled = (2 * digit - 9 if digit > 4 else 2 * digit for digit in digits[1::2])  # noqa: PLR2004
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0

"""Words that are almost the same: for typing mistakes in commands and titles."""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

Slip: TypeAlias = Literal["swapped", "left out", "too many", "other"]

_ORDER: tuple[Slip, ...] = ("swapped", "left out", "too many", "other")
_LONG = 8  # letters from which on two mistakes are forgiven
_SHORTEST = 4  # letters of a word in a title that may have a mistake
_WORD = re.compile(r"[A-Za-z]+")
_QUOTED = re.compile(r'("[^"]*"|“[^”]*”)')
_IRREGULAR = {
    "ate": "eat", "bought": "buy", "brought": "bring", "built": "build", "did": "do", "done": "do", "drew": "draw",
    "fed": "feed", "found": "find", "gave": "give", "got": "get", "made": "make", "met": "meet", "paid": "pay",
    "read": "read", "rang": "ring", "sent": "send", "sold": "sell", "spoke": "speak", "swept": "sweep", "took": "take",
    "told": "tell", "went": "go", "wrote": "write",
}  # fmt: skip
PAST = rf"(?:(?!need|feed|speed|bed\b)\w{{2,}}ed|{'|'.join(_IRREGULAR)})"
"""The beginning of what somebody has done, as a regular expression."""


def distance(one: str, other: str) -> int:
    """Return how many letters are to be added, left out, exchanged or swapped with their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, wanted in enumerate(other, 1):
            steps = min(last[column] + 1, now[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                steps = min(steps, before[column - 2] + 1)
            now.append(steps)
        before, last = last, now
    return last[-1]


def is_near(word: str, meant: str) -> bool:
    """Tell whether a word of a title may have been meant by another one: a form of it, or a typing mistake."""
    if stem(word) == stem(meant):
        return True
    if len(word) < _SHORTEST or abs(len(word) - len(meant)) > 1 + (len(word) >= _LONG):
        return False
    return distance(word, meant) <= 1 + (len(word) >= _LONG)


def stem(word: str) -> str:
    """Return a word without the commonest endings: "watered" and "watering" are "water"."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST - 1:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e") if len(word) >= _SHORTEST else word


def respelled(text: str, vocabulary: Iterable[str], slips: frozenset[Slip]) -> str:
    """Return a text whose misspelled words are those of a vocabulary; what stands in quotes stays."""
    known = frozenset(vocabulary)

    def mend(found: re.Match[str]) -> str:
        word = found[0].lower()
        if word in known:
            return found[0]
        found_slips = {slip: right for right in sorted(known, reverse=True) if (slip := _slip(word, right)) in slips}
        return next((found_slips[slip] for slip in _ORDER if slip in found_slips), found[0])

    parts = _QUOTED.split(text)
    return "".join(part if _QUOTED.fullmatch(part) else _WORD.sub(mend, part) for part in parts)


def _slip(word: str, right: str) -> Slip | None:
    """Tell how a word was misspelled, if it was this one; the first letter is nearly always right."""
    if word[0] != right[0] or len(right) < _SHORTEST - 1 or len(word) < _SHORTEST - 2:
        return None
    if distance(word, right) != 1:
        return "other" if len(right) >= _LONG and distance(word, right) == 2 else None  # noqa: PLR2004  (two mistakes)
    if sorted(word) == sorted(right):
        return "swapped"
    if len(word) == len(right):
        return "other"
    return "left out" if len(word) < len(right) else "too many"

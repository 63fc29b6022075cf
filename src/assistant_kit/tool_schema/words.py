"""The words in a schema: descriptions without the white space of a source file, titles that say nothing new."""

import re
from inspect import cleandoc

_WRAPPED = 40  # characters; a shorter line was ended on purpose
_GOES_ON = re.compile(r"(?!\w+\s?(\([^)]*\))?:\s)[a-z(]")
"""How the rest of a sentence begins: not as a list, a heading, or an explained name (`unit: …`) would."""
_GAP = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
_MORE = " […]"
_EMPTY_LINES = re.compile(r"\n{3,}")


def tidied(text: str) -> str:
    """Return a description without indentation, with the lines of a wrapped sentence joined.

    One with a piece of code in it keeps its lines.
    """
    text = "\n".join(line.rstrip() for line in cleandoc(text).splitlines()).strip()
    text = _EMPTY_LINES.sub("\n\n", text)
    if "`" in text:
        return text
    lines: list[str] = []
    for line in _GAP.sub(" ", text).split("\n"):
        if lines and len(lines[-1]) >= _WRAPPED and _GOES_ON.match(line):
            lines[-1] = f"{lines[-1]} {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


def parted(text: str, longest: int) -> tuple[str, str]:
    """Return a description in two parts, the first of at most `longest` characters; each shows that there is more."""
    room = longest - len(_MORE)
    # Where it is best parted: between paragraphs, lines, sentences, words, if that does not leave most of the room.
    ends = (text.rfind(end, room // 2, room) + len(end.rstrip(" \n")) for end in ("\n\n", "\n", ". ", " "))
    at = next((end for end in ends if end > room // 2), room)
    return text[:at] + _MORE, f"{_MORE.strip()} {text[at:].lstrip()}"


def joined(first: str, second: str) -> str:
    """Return two descriptions of one thing as one."""
    if second in first:
        return first
    return second if first in second else f"{first}\n{second}"


def repeats(title: str, name: str) -> bool:
    """Tell whether a title is a name in other letters, as those that pydantic makes are, or the end of one."""
    letters = _letters(title)
    return bool(letters) and _letters(name).endswith(letters)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())

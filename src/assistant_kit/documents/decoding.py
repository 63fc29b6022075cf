"""Bytes as text: by what is declared, by a byte order mark, as UTF-8, and else as Windows-1252."""

import codecs
import re
from typing import Final

from assistant_kit.documents.limits import Watch

FALLBACK: Final = "windows-1252"
"""What text is taken for that is not UTF-8 and declares nothing: the rule of web browsers for western languages."""

_MARKS: Final = (
    # The mark of UTF-16 is the beginning of that of UTF-32.
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOST_CONTROLS: Final = 0.01
"""The share of control characters from which on something is no text: logs with colours have less."""


def decoded(data: bytes, watch: Watch, *, declared: str | None = None) -> str:
    """Return the text of a file. Raises DocumentUnreadable for what is no text, or not in the declared encoding."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return plain(_strictly(data[len(mark) :], encoding, watch), watch)
    if declared is not None:
        return plain(_strictly(data, declared, watch), watch)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode(FALLBACK, errors="replace")
    return plain(text, watch)


def _strictly(data: bytes, encoding: str, watch: Watch) -> str:
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise watch.unreadable(f"its encoding, {encoding!r}, is not known") from error
    except UnicodeError as error:
        raise watch.unreadable(f"it is damaged, or not in the encoding {encoding!r}") from error


def plain(text: str, watch: Watch) -> str:
    """Return a text with line feeds alone at the ends of lines, and without what no database can hold.

    Raises DocumentUnreadable when it is binary data.
    """
    watch.check(len(text))
    controls = len(_CONTROL.findall(text))
    if "\0" in text or controls > _MOST_CONTROLS * len(text):
        raise watch.unreadable("it is binary data of an unknown format, or text whose encoding has to be declared")
    return cleaned(text)


def cleaned(text: str) -> str:
    """Return a text in which line feeds end lines, control characters are blanks, and all is Unicode."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))

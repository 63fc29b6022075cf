"""What is taken of an uploaded file: its type by what is in it, and a name that is no path."""

import unicodedata
from pathlib import PurePosixPath
from typing import Final

from examples.flask_demo.orchestrator.errors import Invalid, Unsupported

PDF: Final = "application/pdf"
MARKDOWN: Final = "text/markdown"
TEXT: Final = "text/plain"

TYPES: Final = (PDF, MARKDOWN, TEXT)
"""Types of uploaded files. What tools keep in the same place has others."""

_PDF_HEAD: Final = 1024
"""Bytes within which a PDF begins, as its readers accept it."""
_LONGEST_NAME: Final = 120  # characters
_ALLOWED: Final = frozenset("\t\n\r\f\v")


def media_type_of(data: bytes, name: str) -> str:
    """Return the type of a file: PDF, Markdown or plain text. What its sender calls it does not count.

    A name decides between the two kinds of text alone, which nothing runs. Raises Unsupported, Invalid.
    """
    if not data.strip():
        raise Invalid("this file is empty")
    if b"%PDF-" in data[:_PDF_HEAD]:
        return PDF
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unsupported("only PDF, Markdown and plain text in UTF-8 are taken") from error
    if any(char < " " and char not in _ALLOWED for char in text):
        raise Unsupported("only PDF, Markdown and plain text are taken: this file has control characters")
    return MARKDOWN if PurePosixPath(name).suffix.lower() in (".md", ".markdown") else TEXT


def clean_name(given: str | None, media_type: str = TEXT) -> str:
    """Return a name to show: without folders, control characters and marks that change the direction of writing."""
    last = (given or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(
        " " if unicodedata.category(char)[0] in "CZ" else char for char in unicodedata.normalize("NFC", last)
    )
    name = " ".join(shown.split()).strip(". ")
    suffix = PurePosixPath(name).suffix[:10]
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - len(suffix)] + suffix
    return name or f"file{_SUFFIX[media_type]}"


_SUFFIX: Final = {PDF: ".pdf", MARKDOWN: ".md", TEXT: ".txt"}

"""PDF: the text of its pages."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

from assistant_kit.documents.decoding import cleaned
from assistant_kit.documents.document import Mark, Reading
from assistant_kit.documents.limits import Watch
from assistant_kit.documents.plain_text import paragraphs
from assistant_kit.errors import DocumentUnreadable, MissingDependency

try:
    from pypdf import PdfReader, apply_configuration
    from pypdf.errors import LimitReachedError
except ImportError as _missing:
    raise MissingDependency("pypdf", "documents") from _missing

_BETWEEN: Final = "\n\n"
_MAX_PARSING: Final = 500_000
"""Operators and operands on a page. A page full of text has some thousands; these take a few seconds."""


def read_pdf(data: bytes, watch: Watch) -> Reading:
    """Read the text of all pages.

    Raises DocumentUnreadable for a damaged or encrypted file, for one without text, as scanners make it, and for one
    that is too large when it is unpacked.
    """
    try:
        with apply_configuration(
            zlib_maximum_output_length=watch.limits.max_bytes,
            lzw_maximum_output_length=watch.limits.max_bytes,
            run_length_maximum_output_length=watch.limits.max_bytes,
            array_based_stream_maximum_output_length=watch.limits.max_bytes,
            stream_parsing_work_maximum_count=_MAX_PARSING,
        ):
            return _read(PdfReader(BytesIO(data)), watch)
    except DocumentUnreadable:
        raise
    except LimitReachedError as error:
        raise watch.unreadable(
            f"it is too large when it is unpacked, or made to overload its reader: {error}"
        ) from error
    except Exception as error:  # pypdf says of itself: broken files might cause other exceptions
        raise watch.unreadable(f"it is damaged, or no PDF that can be read: {type(error).__name__}: {error}") from error


def _read(reader: PdfReader, watch: Watch) -> Reading:
    if reader.is_encrypted and not reader.decrypt(""):
        raise watch.unreadable("it is encrypted: remove its password first")
    number = len(reader.pages)
    if number > watch.limits.max_pages:
        raise watch.unreadable(f"it has {number} pages, and at most {watch.limits.max_pages} are read")
    parts: list[str] = []
    marks: list[Mark] = []
    length = 0
    for page, text in enumerate(_pages(reader, watch), 1):
        watch.check(length + len(text))
        begins = paragraphs(text, watch, page=page)
        marks += (replace(mark, start=length + mark.start) for mark in begins)
        parts += (text, _BETWEEN)
        length += len(text) + len(_BETWEEN)
    if not marks:
        raise watch.unreadable(f"there is no text on its {number} pages, only pictures if anything: let an OCR read it")
    metadata = reader.metadata
    title = None if metadata is None else metadata.title
    return Reading(text="".join(parts), marks=marks, title=cleaned(title or "").strip())


def _pages(reader: PdfReader, watch: Watch) -> Iterator[str]:
    def look(*_: Any) -> None:
        watch.check()

    for page in reader.pages:
        watch.check()
        # At each operator, because one page may take as long as a book.
        yield cleaned(page.extract_text(visitor_operand_before=look)).strip()

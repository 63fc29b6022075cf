"""From bytes, a text or a path to a document: its format, its limits, and a thread to read it in."""

import os
import re
import stat
from collections.abc import Callable
from email.message import Message
from functools import partial
from pathlib import Path, PurePath
from typing import Final, TypeAlias

import anyio.to_thread

from assistant_kit.documents.decoding import decoded, plain
from assistant_kit.documents.document import Document, Reading, tiled
from assistant_kit.documents.html import charset, read_html
from assistant_kit.documents.limits import ReadLimits, Watch
from assistant_kit.documents.markdown import read_markdown
from assistant_kit.documents.pdf import read_pdf
from assistant_kit.documents.plain_text import read_plain_text, read_rows
from assistant_kit.errors import DocumentUnreadable

Data: TypeAlias = bytes | str | Path
"""A document: its bytes, its text, or the path of its file."""

PDF: Final = "application/pdf"
HTML: Final = "text/html"
MARKDOWN: Final = "text/markdown"
CSV: Final = "text/csv"
TEXT: Final = "text/plain"

_TEXTS: Final[dict[str, Callable[[str, Watch], Reading]]] = {
    HTML: read_html,
    "application/xhtml+xml": read_html,
    MARKDOWN: read_markdown,
    CSV: read_rows,
    "text/tab-separated-values": read_rows,
    TEXT: read_plain_text,
}
_SUFFIXES: Final = {
    ".pdf": PDF,
    ".htm": HTML,
    ".html": HTML,
    ".xhtml": HTML,
    ".markdown": MARKDOWN,
    ".md": MARKDOWN,
    ".csv": CSV,
    ".tsv": "text/tab-separated-values",
}
_HTML_BEGINS: Final = re.compile(r"\s*(?:<!--.{0,1000}?-->\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_PDF_BEGINS: Final = b"%PDF-"
_PDF_HEAD: Final = 1024
"""Bytes within which a PDF begins, as its readers accept it."""


async def read_document(
    data: Data,
    *,
    source: str = "",
    filename: str = "",
    media_type: str = "",
    title: str = "",
    limits: ReadLimits | None = None,
) -> Document:
    """Read plain text, Markdown, HTML, CSV or PDF, in a worker thread.

    A path is read no further than `limits` allow; `source` and `filename` are those of the path when they are not
    given. The format is that of `media_type`, or what the content and the name of the file tell; a `charset` in it
    is the encoding. `title` goes before the title in the document. Raises DocumentUnreadable; cancellation does not
    wait for the thread, which ends soon after.
    """
    filename = filename or (data.name if isinstance(data, Path) else source)
    source = source or (str(data) if isinstance(data, Path) else filename or "document")
    watch = Watch(source, limits or ReadLimits())
    read = partial(_read, data, watch, filename=filename, media_type=media_type, title=title)
    try:
        with anyio.move_on_after(watch.limits.max_seconds):
            return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
    finally:
        watch.leave()
    raise watch.late()


def _read(data: Data, watch: Watch, *, filename: str, media_type: str, title: str) -> Document:
    kind, encoding = _declared(media_type)
    content = _loaded(data, watch)
    kind = _kind(content, kind, filename, watch)
    if kind == PDF and isinstance(content, bytes):
        reading = read_pdf(content, watch)
    else:
        text = plain(content, watch) if isinstance(content, str) else _decoded(content, kind, encoding, watch)
        reading = _text_reading(text, kind, watch)
    if not reading.text.strip():
        raise watch.unreadable("there is no text in it")
    name = title or reading.title or PurePath(filename).name or watch.source
    blocks = tiled(reading)
    return Document(source=watch.source, title=name, media_type=kind, text=reading.text, blocks=blocks)


def _declared(media_type: str) -> tuple[str, str | None]:
    """Return the media type without its parameters, and the charset among them."""
    if not media_type:
        return "", None
    message = Message()
    message["content-type"] = media_type
    return message.get_content_type(), message.get_content_charset()


def _loaded(data: Data, watch: Watch) -> bytes | str:
    most = watch.limits.max_bytes
    if isinstance(data, Path):
        try:
            return _file(data, watch)
        except (OSError, ValueError) as error:
            raise watch.unreadable(f"the file cannot be opened or read: {error}") from error
    if len(data) > most:
        raise _too_large(watch, len(data))
    return data


def _file(path: Path, watch: Watch) -> bytes:
    """Read a file, never more than one byte beyond the limit: its size may be wrong, or grow."""
    # Without blocking: opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise watch.unreadable("it is a folder or a device, not a file")
        if status.st_size > watch.limits.max_bytes:
            raise _too_large(watch, status.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(watch.limits.max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > watch.limits.max_bytes:
        raise _too_large(watch, len(content))
    return content


def _too_large(watch: Watch, size: int) -> DocumentUnreadable:
    return watch.unreadable(f"it has {size} bytes or more, and at most {watch.limits.max_bytes} are read")


def _kind(content: bytes | str, declared: str, filename: str, watch: Watch) -> str:
    """Return the media type of a document: as declared, or by content and name."""
    if declared == PDF or declared in _TEXTS:
        return declared
    if isinstance(content, bytes) and _PDF_BEGINS in content[:_PDF_HEAD]:
        return PDF
    if declared and not declared.startswith("text/") and declared != "application/octet-stream":
        raise watch.unreadable(f"its format, {declared}, is not known: text, Markdown, HTML, CSV and PDF are")
    named = _SUFFIXES.get(PurePath(filename).suffix.lower())
    if named is not None:
        return named
    head = content[:2048]
    return HTML if _HTML_BEGINS.match(head if isinstance(head, str) else head.decode("latin-1")) else TEXT


def _decoded(content: bytes, kind: str, encoding: str | None, watch: Watch) -> str:
    if encoding is None and _TEXTS.get(kind) is read_html:
        encoding = charset(content)
    return decoded(content, watch, declared=encoding)


def _text_reading(text: str, kind: str, watch: Watch) -> Reading:
    try:
        reader = _TEXTS[kind]
    except KeyError:
        raise watch.unreadable("a PDF is bytes or a file, not text") from None
    return reader(text, watch)

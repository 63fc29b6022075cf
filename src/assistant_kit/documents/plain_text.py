"""Plain text: paragraphs between blank lines; of tables in text, rows."""

from collections.abc import Iterator

from assistant_kit.documents.document import BlockKind, Mark, Reading
from assistant_kit.documents.limits import Watch


def read_plain_text(text: str, watch: Watch) -> Reading:
    """Read paragraphs."""
    return Reading(text=text, marks=tuple(paragraphs(text, watch)))


def read_rows(text: str, watch: Watch) -> Reading:
    """Read a table of one row a line, such as CSV."""
    return Reading(text=text, marks=tuple(paragraphs(text, watch, kind="table")))


def paragraphs(text: str, watch: Watch, *, kind: BlockKind = "paragraph", page: int | None = None) -> Iterator[Mark]:
    """Yield where paragraphs begin."""
    blank = True
    at = 0
    for line in text.split("\n"):
        if not line.strip():
            blank = True
        elif blank:
            watch.check()
            yield Mark(kind=kind, start=at, page=page)
            blank = False
        at += len(line) + 1

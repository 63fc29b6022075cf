"""HTML: the text that a reader sees, with its headings, lists, code and tables."""

import re
from typing import Any, Final

from assistant_kit.documents.document import BlockKind, Mark, Outline, Reading
from assistant_kit.documents.limits import Watch
from assistant_kit.errors import MissingDependency

try:
    from bs4 import BeautifulSoup
    from bs4.element import CData, NavigableString, PreformattedString, Tag
    from bs4.exceptions import ParserRejectedMarkup
except ImportError as _missing:
    raise MissingDependency("beautifulsoup4", "documents") from _missing

_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-z0-9_.:-]{1,40})""", re.IGNORECASE)
_DROPPED: Final = frozenset({
    "button", "canvas", "iframe", "input", "nav", "noscript", "object", "script", "select", "style", "svg", "template",
    "textarea", "title",
})  # fmt: skip
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_INLINE: Final = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
    "sup", "time", "tt", "u", "var", "wbr",
})  # fmt: skip
_KINDS: Final[dict[str, BlockKind]] = {"li": "item", "dt": "item", "dd": "item", "pre": "code"}
_BLANKS: Final = re.compile(r"[ \t\n\r\f]+")
_XML: Final = re.compile(r"\A\s*<\?xml[^>]*>")
_UNSEEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")


def charset(data: bytes) -> str | None:
    """Return the encoding that an HTML file declares in its first kilobytes."""
    found = _CHARSET.search(data[:4096])
    if found is None:
        return None
    name = found[1].decode().lower()
    # The HTML standard: a file in which this can be read is not in UTF-16, and Latin-1 means Windows-1252.
    return {"utf-16": "utf-8", "iso-8859-1": "windows-1252", "latin1": "windows-1252"}.get(name, name)


def read_html(text: str, watch: Watch) -> Reading:
    """Read what a reader sees: no scripts, styles, navigation, forms, or hidden parts."""
    watch.check()
    try:
        # The line feed, so that a short text is not taken for the name of a file, with a warning.
        page = _Page(_XML.sub("", text) + "\n", watch)
    except ParserRejectedMarkup as error:
        raise watch.unreadable("it is no HTML that can be parsed") from error
    title = page.title
    writer = _Writer(watch)
    _walk(page, writer)
    return Reading(
        text=writer.text(),
        marks=writer.marks,
        title=writer.first_heading if title is None else _one_line(title.get_text()) or writer.first_heading,
    )


class _Page(BeautifulSoup):
    """A parsed page. Python's parser takes hours for some files that are made for it, so its every step is watched."""

    def __init__(self, text: str, watch: Watch) -> None:
        self._watch = watch
        super().__init__(text, "html.parser")

    def handle_data(self, data: str) -> None:
        self._watch.check()
        super().handle_data(data)

    def handle_starttag(self, *args: Any, **kwargs: Any) -> Tag | None:
        self._watch.check()
        return super().handle_starttag(*args, **kwargs)


class _Writer:
    """Gathers text into blocks."""

    def __init__(self, watch: Watch) -> None:
        self.marks: list[Mark] = []
        self.first_heading: str = ""
        self._watch = watch
        self._parts: list[str] = []
        self._length = 0
        self._line: list[str] = []
        self._outline = Outline()

    def text(self) -> str:
        return "".join(self._parts)

    def say(self, words: str) -> None:
        self._line.append(words)

    def end(self, name: str) -> None:
        """End the block that stands in an element of this name."""
        said = "".join(self._line)
        self._line.clear()
        text = said.strip("\n") if name == "pre" else "\n".join(map(_one_line, said.split("\v"))).strip()
        if not text.strip():
            return
        level = _HEADINGS.get(name)
        if level is not None:
            text = _one_line(text)
            self.first_heading = self.first_heading or text
            self._outline.enter(level, text)
        kind: BlockKind = "heading" if level is not None else _KINDS.get(name, "paragraph")
        self._add(kind, text)

    def table(self, rows: list[str]) -> None:
        if rows:
            self._add("table", "\n".join(rows))

    def _add(self, kind: BlockKind, text: str) -> None:
        self.marks.append(Mark(kind=kind, start=self._length, headings=self._outline.path))
        gap = "\n" if kind == "item" else "\n\n"
        self._parts += (text, gap)
        self._length += len(text) + len(gap)
        self._watch.check(self._length)


def _walk(page: Tag, writer: _Writer) -> None:
    """Write the elements in order. Without recursion: a page may be nested a hundred thousand deep."""
    blocks: list[str] = ["body"]
    todo: list[object] = [page]
    while todo:
        node = todo.pop()
        if isinstance(node, _End):
            writer.end(blocks.pop())
        elif isinstance(node, Tag):
            _enter(node, todo, blocks, writer)
        elif isinstance(node, NavigableString) and (
            isinstance(node, CData) or not isinstance(node, PreformattedString)
        ):
            words = str(node)
            writer.say(words if "pre" in blocks[-1:] else _BLANKS.sub(" ", words))
    writer.end("body")


class _End:
    """Stands behind the children of a block."""


def _enter(tag: Tag, todo: list[object], blocks: list[str], writer: _Writer) -> None:
    name = tag.name
    if name in _DROPPED or _hidden(tag):
        return
    if name == "br":
        writer.say("\n" if blocks[-1] == "pre" else "\v")
    elif name == "img":
        writer.say(f" {tag.get('alt') or ''} ")
    elif name in _INLINE or (blocks[-1] in _KINDS and name == "p"):
        if name == "p":
            writer.say("\v")
        todo.extend(reversed(tag.contents))
    elif name == "table" and tag.find(["table", *_HEADINGS]) is None:
        writer.end(blocks[-1])
        writer.table(_rows(tag))
    else:
        writer.end(blocks[-1])
        blocks.append(name)
        todo.append(_End())
        todo.extend(reversed(tag.contents))


def _hidden(tag: Tag) -> bool:
    """Tell whether a reader does not see this: what nobody sees may be there to mislead a model."""
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true":
        return True
    return _UNSEEN.search(str(tag.get("style") or "")) is not None


def _rows(table: Tag) -> list[str]:
    rows = [[_one_line(_seen(cell)) for cell in row.find_all(["td", "th"])] for row in table.find_all("tr")]
    caption = table.find("caption")
    first = [] if caption is None else [_one_line(_seen(caption))]
    return [line for line in (*first, *(" | ".join(row) for row in rows)) if line.strip(" |")]


def _seen(tag: Tag) -> str:
    """Return the text in a cell that a reader sees."""
    words: list[str] = []
    todo: list[object] = [tag]
    while todo:
        node = todo.pop()
        if isinstance(node, Tag):
            if node.name not in _DROPPED and not _hidden(node):
                gap = [] if node.name in _INLINE else [NavigableString(" ")]
                todo += (*gap, *reversed(node.contents), *gap)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            words.append(str(node))
    return "".join(words)


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()

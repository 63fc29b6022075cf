"""Markdown: headings, paragraphs, list items, code and tables, by the lines on which they begin."""

import re
from typing import Final

from assistant_kit.documents.document import BlockKind, Mark, Outline, Reading, line_starts
from assistant_kit.documents.limits import Watch
from assistant_kit.errors import MissingDependency

try:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
except ImportError as _missing:
    raise MissingDependency("markdown-it-py", "documents") from _missing

_KINDS: Final[dict[str, BlockKind]] = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "blockquote_open": "paragraph",
    "html_block": "paragraph",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
    "list_item_open": "item",
}
_LISTS: Final = ("bullet_list_open", "ordered_list_open")
_FRONT: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE: Final = re.compile(r"^title:[ \t]*(\S.*)$", re.MULTILINE)


def read_markdown(text: str, watch: Watch) -> Reading:
    """Read the structure of CommonMark with tables. The text stays as it is written."""
    front = _FRONT.match(text)
    begin = 0 if front is None else front.end()
    blocks = MarkdownIt("commonmark").enable("table").disable("inline")
    watch.check()
    tokens = blocks.parse(text[begin:])
    marks = _marks(tokens, line_starts(text, begin), watch)
    if front is not None:
        marks.insert(0, Mark(kind="paragraph", start=0))
    declared = None if front is None else _TITLE.search(front[1])
    top = next((mark.headings[0] for mark in marks if mark.headings), "")
    return Reading(text=text, marks=marks, title=top if declared is None else declared[1].strip(" \t\"'"))


def _marks(tokens: list[Token], starts: list[int], watch: Watch) -> list[Mark]:
    words = MarkdownIt("commonmark")
    outline = Outline()
    marks: list[Mark] = []
    inside = ""
    for index, token in enumerate(tokens):
        watch.check()
        if token.level == 0:
            inside = token.type
        if token.map is None or token.type not in _KINDS or not _outermost(token, inside):
            continue
        if token.type == "heading_open":
            outline.enter(int(token.tag[1]), _words(words, tokens[index + 1].content))
        marks.append(Mark(kind=_KINDS[token.type], start=starts[token.map[0]], headings=outline.path))
    return marks


def _outermost(token: Token, inside: str) -> bool:
    """Tell whether a token begins a block: what stands in a list item or a quotation belongs to that."""
    return token.level == 0 or (token.level == 1 and token.type == "list_item_open" and inside in _LISTS)


def _words(parser: MarkdownIt, content: str) -> str:
    """Return a heading without emphasis and links."""
    pieces = parser.parseInline(content)[0].children or []
    return "".join(" " if piece.type == "softbreak" else piece.content for piece in pieces)

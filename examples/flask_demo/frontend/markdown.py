"""Markdown of a model as HTML that does nothing: no script, no style, no form, no picture, links to the web only.

Two walls. The parser knows no HTML and makes links of pictures; what it writes then passes a list of what is allowed,
which would also stop what the parser should not have let through. The page's Content-Security-Policy is the third.
"""

from collections.abc import MutableMapping, Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

LONGEST = 200_000
"""Characters that are rendered; what is longer ends with an ellipsis."""

_SCHEMES = {"http", "https", "mailto"}
_TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "div", "table", "thead", "tbody", "tr", "th", "td"),
}
_SCROLLS = {"class": {"scroll"}, "tabindex": {"0"}, "role": {"region"}, "aria-label": {"Table"}}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style"},
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
    tag_attribute_values={"div": _SCROLLS, "pre": {"tabindex": {"0"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
    url_schemes=_SCHEMES,
    url_relative="deny",
)


def render(text: str) -> str:
    """Return the HTML of a Markdown text; the same text always gives the same HTML."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    return _CLEANER.clean(_PARSER.render(text))


class _Renderer(RendererHTML):
    """Writes what the list of allowed tags lets through; what is wide scrolls by itself, by keyboard too."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]) -> str:
        """Write a picture as a link with its description: loading it would tell its host who reads this."""
        token = tokens[idx]
        label = escapeHtml(self.renderInlineAsText(token.children, options, env) or "picture")
        if _is_in_link(tokens[:idx]):
            return label
        return f'<a href="{escapeHtml(str(token.attrs["src"]))}">{label}</a>'

    def heading_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]
    ) -> str:
        """Write a heading below those of the page."""
        del options, env
        return f"<{_below(tokens[idx].tag)}>"

    def heading_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]
    ) -> str:
        """Close such a heading."""
        del options, env
        return f"</{_below(tokens[idx].tag)}>\n"

    def table_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]
    ) -> str:
        """Write a table in a frame in which it scrolls."""
        del tokens, idx, options, env
        return '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]
    ) -> str:
        """Close such a table."""
        del tokens, idx, options, env
        return "</table></div>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]) -> str:
        """Write code."""
        del options, env
        return f'<pre tabindex="0"><code>{escapeHtml(tokens[idx].content)}</code></pre>\n'

    def code_block(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, object]
    ) -> str:
        """Write code that is marked by being indented."""
        return self.fence(tokens, idx, options, env)


def _below(heading: str) -> str:
    """Return the tag of a heading in an answer: the page has h1 and h2."""
    return f"h{min(int(heading.removeprefix('h')) + 2, 6)}"


def _is_in_link(before: Sequence[Token]) -> bool:
    return sum(token.nesting for token in before if token.type in {"link_open", "link_close"}) > 0


_PARSER = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
_PARSER.enable(["table", "strikethrough"])

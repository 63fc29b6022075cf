"""Markdown of a model becomes HTML that can do nothing."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.flask_demo.frontend.markdown import LONGEST, render

_ALLOWED = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "div", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "rel", "target"}, "ol": {"start"}, "pre": {"tabindex"}}
_FRAME = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Table"}

_PIECES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![a](https://evil.example/x.png)",
    "![a](javascript:alert(1))",
    "[![a](https://evil.example/x.png)](https://evil.example)",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&colon;alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "[a](//evil.example)",
    "[a](/sign-out)",
    '[a](https://ok.example/?a="onmouseover=alert(1))',
    '[a](<https://ok.example/" onmouseover="alert(1)>)',
    "<javascript:alert(1)>",
    "<https://ok.example/'\"><script>>",
    "<style>*{display:none}</style>",
    "<svg/onload=alert(1)>",
    "<form action=//evil.example><input>",
    "<a href=javascript:alert(1)>",
    "<!-- <script> -->",
    "<![CDATA[<script>]]>",
    "</div></main><iframe src=//evil.example>",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "    <script>alert(1)</script>\n",
    "| <script> | b |\n|---|---|\n| ![x](//e) | `<b>` |\n",
    "# <img src=x>\n",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "\x00<scr\x00ipt>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[a]: javascript:alert(1)\n\n[a]\n\n![a]\n",
    '[a](https://ok.example "t\\" onclick=\\"x")',
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]
_hostile = st.lists(
    st.one_of(st.sampled_from(_PIECES), st.text(max_size=20), st.sampled_from(list("<>\"'`&[]()!|\n *_#-:/\\~")))
).map("".join)


class _Reader(HTMLParser):
    """Collects what the HTML has, and fails at what it must not have."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED
        self.tags.append(tag)
        given = dict(attrs)
        if tag == "div":
            assert given == _FRAME
            return
        assert given.keys() <= _ATTRIBUTES.get(tag, set())
        if tag == "a":
            self._check_link(given)

    def _check_link(self, given: dict[str, str | None]) -> None:
        assert given["rel"] == "noopener noreferrer nofollow"
        assert given["target"] == "_blank"
        if (address := given.get("href")) is not None:
            assert urlsplit(address).scheme.lower() in {"http", "https", "mailto"}
            self.links.append(address)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


@given(_hostile)
def test_whatever_the_model_writes_only_harmless_tags_and_web_links_come_out(text: str) -> None:
    _read(render(text))


@pytest.mark.parametrize("text", _PIECES)
def test_each_known_attack_comes_out_harmless_and_the_same_each_time(text: str) -> None:
    html = render(text)

    _read(html)
    assert render(text) == html


def test_html_is_shown_as_the_text_that_it_is() -> None:
    read = _read(render("Use <b>bold</b> & <script>alert(1)</script>."))

    assert read.tags == ["p"]
    assert read.text.strip() == "Use <b>bold</b> & <script>alert(1)</script>."


def test_a_picture_is_a_link_with_its_description() -> None:
    read = _read(render("![a *fine* cat](https://pictures.example/cat.png)"))

    assert (read.tags, read.links) == (["p", "a"], ["https://pictures.example/cat.png"])
    assert read.text.strip() == "a fine cat"


def test_a_picture_without_words_is_called_a_picture() -> None:
    assert _read(render("![](https://pictures.example/cat.png)")).text.strip() == "picture"


def test_a_picture_in_a_link_leaves_the_link_with_its_description() -> None:
    read = _read(render("[![cat](https://pictures.example/cat.png)](https://cats.example)"))

    assert (read.tags, read.links, read.text.strip()) == (["p", "a"], ["https://cats.example"], "cat")


@pytest.mark.parametrize(
    "address", ["javascript:x", "data:text/html,x", "//host.example", "/sign-out", "#end", "file:///etc"]
)
def test_other_links_than_those_to_the_web_lead_nowhere(address: str) -> None:
    assert _read(render(f"[a]({address})")).links == []


def test_links_to_the_web_and_to_mail_stay() -> None:
    read = _read(render("[a](https://a.example/?q=1&r=2) <mailto:b@b.example> [c](http://c.example)"))

    assert read.links == ["https://a.example/?q=1&r=2", "mailto:b@b.example", "http://c.example"]


def test_headings_stand_below_those_of_the_page() -> None:
    assert _read(render("# a\n\n## b\n\n###### c\n")).tags == ["h3", "h4", "h6"]


def test_code_and_tables_can_be_scrolled_by_keyboard() -> None:
    read = _read(render("```python\nprint('<b>')\n```\n\n    indented\n\n| a |\n|---|\n| ~~b~~ |\n"))

    assert read.tags == ["pre", "code", "pre", "code", "div", "table", "thead", "tr", "th", "tbody", "tr", "td", "s"]
    assert "print('<b>')" in read.text


def test_a_list_keeps_its_numbers() -> None:
    assert '<ol start="3">' in render("3. c\n4. d\n")


def test_a_text_that_is_too_long_ends_with_an_ellipsis() -> None:
    assert _read(render("x" * (LONGEST + 1))).text.strip() == "x" * LONGEST + "…"


@pytest.mark.parametrize(
    "text", [">" * 5000 + "x", "[" * 5000, "*" * 5000 + "x", "- " * 3000 + "x", "`" * 5001, "|" * 5000]
)
def test_deep_nesting_is_no_trouble(text: str) -> None:
    _read(render(text))

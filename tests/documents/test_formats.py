"""What readers make of Markdown, HTML and PDF."""

import builtins
import importlib
import io
import sys
from typing import Any

import anyio
import pypdf
import pytest

from assistant_kit.documents import Document, ReadLimits, read_document
from assistant_kit.errors import DocumentUnreadable, MissingDependency
from tests.documents.pdfs import pdf, pdf_of

pytestmark = pytest.mark.anyio

MARKDOWN = """\
---
title: "Front"
---
# Guide to *everything* and `code`

First paragraph,
second line.

## Lists

- one
  - nested
- two

  more of two

1. first

> quoted

```python
# not a heading

x = 1
```

| a | b |
|---|---|
| 1 | 2 |

# Another
part
----
[a]: https://example.com
"""

HTML = """<!doctype html><html><head><title> The  title </title><style>p{}</style><script>evil()</script></head>
<body><nav><a>Home</a></nav><header><h1>Guide <em>to</em> it</h1></header>
<p>First <b>para</b>graph,<br>second line.</p>loose text <div>inner <p>p1</p> tail</div>
<h2>Lists</h2><ul><li><p>one</p><p>more</p></li><li>two<ul><li>nested</li></ul></li></ul>
<pre>def f():<br>    return 1
</pre><div hidden>secret</div><span style="display: none">secret</span><i aria-hidden="true">secret</i>
<table><caption>Prices</caption><tr><th>a</th><th>b</th></tr>
<tr><td>1</td><td>2<script>secret</script> <p>and</p><b>3</b><!-- secret --></td></tr></table><table></table>
<!-- secret --><h3>Deep</h3><blockquote>quoted</blockquote><h2>Next</h2><img alt="a picture"><img> end<p> </p>
<table><tr><td><h3>Layout</h3>text</td></tr></table></body></html>"""


async def read(data: bytes | str, media_type: str = "") -> Document:
    with anyio.fail_after(20):
        return await read_document(data, source="the source", media_type=media_type)


async def problem_of(data: bytes | str, limits: ReadLimits | None = None) -> str:
    with pytest.raises(DocumentUnreadable) as caught, anyio.fail_after(30):
        await read_document(data, source="the source", limits=limits)
    return caught.value.problem


def blocks(document: Document) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(block.kind, document.text[block.start : block.end].strip(), block.headings) for block in document.blocks]


# --- Markdown


async def test_markdown_keeps_its_text_and_gives_its_structure() -> None:
    document = await read(MARKDOWN, "text/markdown")

    top, lists = ("Guide to everything and code",), ("Guide to everything and code", "Lists")
    assert document.text == MARKDOWN
    assert document.title == "Front"
    assert blocks(document) == [
        ("paragraph", '---\ntitle: "Front"\n---', ()),
        ("heading", "# Guide to *everything* and `code`", top),
        ("paragraph", "First paragraph,\nsecond line.", top),
        ("heading", "## Lists", lists),
        ("item", "- one\n  - nested", lists),
        ("item", "- two\n\n  more of two", lists),
        ("item", "1. first", lists),
        ("paragraph", "> quoted", lists),
        ("code", "```python\n# not a heading\n\nx = 1\n```", lists),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |", lists),
        ("heading", "# Another", ("Another",)),
        ("heading", "part\n----\n[a]: https://example.com", ("Another", "part")),
    ]


async def test_markdown_without_front_matter_has_its_first_heading_as_title() -> None:
    assert (await read("words\n\n## Two\nlines\n===\n", "text/markdown")).title == "Two"
    assert (await read("two\nlines\n===\n", "text/markdown")).title == "two lines"
    assert (await read("---\nno title\n---\n", "text/markdown")).title == "the source"
    assert (await read("no title", "text/markdown")).title == "the source"


async def test_markdown_of_a_rule_only_is_one_block() -> None:
    document = await read_document("---", media_type="text/markdown")
    assert [(block.kind, block.start, block.end) for block in document.blocks] == [("paragraph", 0, 3)]


async def test_blocks_cover_the_text() -> None:
    for text, kind in ((MARKDOWN, "text/markdown"), ("\n\n" + HTML, "text/html"), ("\n a\n\n\nb\n ", "text/plain")):
        document = await read(text, kind)
        assert "".join(document.text[block.start : block.end] for block in document.blocks) == document.text


# --- HTML


async def test_html_gives_what_a_reader_sees() -> None:
    document = await read(HTML)

    top, lists = ("Guide to it",), ("Guide to it", "Lists")
    assert document.title == "The title"
    assert blocks(document) == [
        ("heading", "Guide to it", top),
        ("paragraph", "First paragraph,\nsecond line.", top),
        ("paragraph", "loose text", top),
        ("paragraph", "inner", top),
        ("paragraph", "p1", top),
        ("paragraph", "tail", top),
        ("heading", "Lists", lists),
        ("item", "one\nmore", lists),
        ("item", "two", lists),
        ("item", "nested", lists),
        ("code", "def f():\n    return 1", lists),
        ("table", "Prices\na | b\n1 | 2 and 3", lists),
        ("heading", "Deep", (*lists, "Deep")),
        ("paragraph", "quoted", (*lists, "Deep")),
        ("heading", "Next", ("Guide to it", "Next")),
        ("paragraph", "a picture end", ("Guide to it", "Next")),
        ("heading", "Layout", ("Guide to it", "Next", "Layout")),
        ("paragraph", "text", ("Guide to it", "Next", "Layout")),
    ]


async def test_html_without_a_title_has_its_first_heading() -> None:
    assert (await read("<h2>Two</h2>", "text/html")).title == "Two"
    assert (await read("<title> </title><h2>Two</h2>", "text/html")).title == "Two"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b'<meta charset="koi8-r">', "koi8-r"),
        (b'<META http-equiv=Content-Type content="text/html; charset=windows-1251">', "cp1251"),
        (b'<meta charset="utf-16">', "utf-8"),
        (b"", "utf-8"),
    ],
)
async def test_html_is_read_in_the_encoding_that_it_declares(head: bytes, encoding: str) -> None:
    document = await read(b"<html><head>" + head + "</head><p>Привет".encode(encoding), "text/html")

    assert document.text.strip() == "Привет"


async def test_html_that_is_nested_very_deep_is_read() -> None:
    document = await read("<div>" * 3_000 + "words", "text/html")

    assert document.text.strip() == "words"


async def test_html_that_its_parser_rejects_is_refused() -> None:
    with pytest.raises(DocumentUnreadable), anyio.fail_after(20):
        await read_document("<![x<p>", media_type="text/html")
    assert (await read("<?xml version='1.0'?><p>words", "text/html")).text.strip() == "words"


# --- PDF


async def test_pdf_gives_the_text_of_its_pages() -> None:
    document = await read(pdf(["Hello world.\nSecond line (of two).", "", "Third page: Größe, 5 €"], title="My title"))

    assert (document.title, document.media_type) == ("My title", "application/pdf")
    assert [(block.page, document.text[block.start : block.end].strip()) for block in document.blocks] == [
        (1, "Hello world.\nSecond line (of two)."),
        (3, "Third page: Größe, 5 €"),
    ]


@pytest.mark.parametrize("cut", [5, 9, 200, 500, -40])
async def test_a_damaged_pdf_is_refused(cut: int) -> None:
    await problem_of(pdf(["Hello world."])[:cut])


async def test_garbage_behind_the_beginning_of_a_pdf_is_refused() -> None:
    await problem_of(b"%PDF-1.7\n" + bytes(range(256)) * 10)


@pytest.mark.parametrize("pages", [[], [b""], [b"0 0 m 10 10 l S"]])
async def test_a_pdf_without_text_is_refused(pages: list[bytes]) -> None:
    problem = await problem_of(pdf_of(pages))

    assert problem.startswith(f"there is no text on its {len(pages)} pages")


@pytest.mark.parametrize(("algorithm", "password"), [("RC4-128", "secret"), ("AES-256", "secret"), ("AES-256", "")])
async def test_a_pdf_is_read_only_without_a_password(algorithm: str, password: str) -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["Hello world."])))
    writer.encrypt(password, owner_password="another", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)

    if password:
        assert (await problem_of(file.getvalue())).startswith("it is encrypted")
    else:
        assert (await read(file.getvalue())).text.strip() == "Hello world."


async def test_a_pdf_of_too_many_pages_is_refused() -> None:
    await problem_of(pdf(["x"] * 4), ReadLimits(max_pages=3))


async def test_a_pdf_that_grows_when_it_is_unpacked_is_refused() -> None:
    bomb = pdf_of([b"(a) Tj " * 1_000_000])

    assert len(bomb) < 20_000
    assert (await problem_of(bomb, ReadLimits(max_bytes=1_000_000))).startswith("it is too large")


async def test_a_pdf_with_a_page_that_takes_too_long_is_refused() -> None:
    await problem_of(pdf_of([b"BT /F1 12 Tf " + b"(a) Tj " * 100_000 + b"ET"]), ReadLimits(max_seconds=0.5))


async def test_a_pdf_with_more_text_than_allowed_is_refused() -> None:
    await problem_of(pdf(["Hello world."] * 10), ReadLimits(max_characters=100))


# --- without the extra


@pytest.mark.parametrize(
    ("module", "imported", "package"),
    [("html", "bs4", "beautifulsoup4"), ("markdown", "markdown_it", "markdown-it-py"), ("pdf", "pypdf", "pypdf")],
)
def test_without_a_package_the_extra_is_named(
    module: str, imported: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == imported:
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, f"assistant_kit.documents.{module}")
    with pytest.raises(MissingDependency) as caught:
        importlib.import_module(f"assistant_kit.documents.{module}")

    assert (caught.value.package, caught.value.extra) == (package, "documents")

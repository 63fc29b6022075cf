"""What is taken of an uploaded file."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.flask_demo.orchestrator.errors import Invalid, Unsupported
from examples.flask_demo.orchestrator.uploads import MARKDOWN, PDF, TEXT, clean_name, media_type_of


@pytest.mark.parametrize(
    ("data", "name", "found"),
    [
        (b"%PDF-1.7\n...", "a.txt", PDF),
        (b"\n\n%PDF-1.4", "report.html", PDF),
        (b"# Title", "a.md", MARKDOWN),
        (b"# Title", "A.MARKDOWN", MARKDOWN),
        (b"# Title", "a.pdf", TEXT),
        (b"<script>alert(1)</script>", "a.html", TEXT),
        ("äöü".encode("utf-8-sig"), "", TEXT),
    ],
)
def test_the_type_is_told_by_what_is_in_a_file(data: bytes, name: str, found: str) -> None:
    assert media_type_of(data, name) == found


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04\x00", b"\x89PNG\r\n\x1a\n\0\0", b"MZ\x90\0", "ä".encode("latin-1"), b"a\x1bb"]
)
def test_what_is_neither_pdf_nor_text_is_refused_whatever_its_name(data: bytes) -> None:
    with pytest.raises(Unsupported):
        media_type_of(data, "harmless.txt")


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        media_type_of(data, "a.txt")


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\my file.pdf", "my file.pdf"),
        ("..", "file.txt"),
        (None, "file.txt"),
        ("a\0b\nc.txt", "a b c.txt"),
        ("invoice\u202efdp.exe", "invoice fdp.exe"),
        (".hidden", "hidden"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
    ],
)
def test_a_name_is_no_path_and_has_no_hidden_marks(given_name: str | None, shown: str) -> None:
    assert clean_name(given_name) == shown


@given(st.text())
def test_any_name_becomes_one_that_can_be_shown(name: str) -> None:
    shown = clean_name(name)
    assert 0 < len(shown) <= 120
    assert not {"/", "\\"} & set(shown)
    assert all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in shown)
    assert shown not in (".", "..")

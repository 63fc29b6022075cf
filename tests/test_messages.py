"""What a user says becomes a message of parts, or is refused before anything is sent."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import InputError
from assistant_kit.messages import File, Image, Text, UserMessage, is_unicode, text_of, user_message

IMAGE = Image(url="https://example.org/a.png")
FILE = File(data=b"x", filename="a.pdf")


@pytest.mark.parametrize(
    ("given_input", "parts"),
    [
        ("Hello", (Text(text="Hello"),)),
        (Text(text="Hello"), (Text(text="Hello"),)),
        (IMAGE, (IMAGE,)),
        (FILE, (FILE,)),
        (["Look:", IMAGE, FILE], (Text(text="Look:"), IMAGE, FILE)),
        (("a", Text(text="b")), (Text(text="a"), Text(text="b"))),
        (["", IMAGE], (Text(text=""), IMAGE)),
    ],
)
def test_text_parts_and_sequences_become_a_message(given_input: Any, parts: Any) -> None:
    assert user_message(given_input) == UserMessage(content=parts)


@pytest.mark.parametrize("nothing", ["", "  \n", [], [""], Text(text=" ")], ids=repr)
def test_an_empty_message_is_refused(nothing: Any) -> None:
    with pytest.raises(InputError, match="empty"):
        user_message(nothing)


@pytest.mark.parametrize("thing", [None, 3, b"bytes", {"role": "user"}, [None], ["a", b"b"], {"a"}], ids=repr)
def test_what_is_no_text_and_no_part_is_refused(thing: Any) -> None:
    with pytest.raises(InputError, match="sequence"):
        user_message(thing)


@pytest.mark.parametrize(
    "odd",
    [
        "\ud800",
        ["fine", "a\udcff"],
        File(data=b"x", filename="\udcff.txt"),
        File(url="\udcff"),
        Image(url="\udcff"),
        Image(data=b"x", media_type="\udcff"),
    ],
)
def test_text_that_is_no_unicode_is_refused(odd: Any) -> None:
    with pytest.raises(InputError, match="Unicode"):
        user_message(odd)


@given(st.text())
def test_only_lone_surrogates_are_no_unicode(text: str) -> None:
    assert is_unicode(text) == (not any("\ud800" <= letter <= "\udfff" for letter in text))


def test_only_text_parts_have_text() -> None:
    assert text_of([Text(text="a"), IMAGE, Text(text="b")]) == "a\nb"
    assert text_of([]) == ""


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.PNG", "image/png"), ("a.jpg", "image/jpeg"), ("a", "image/png"), ("a.webp", "image/webp")],
)
def test_a_picture_is_read_from_a_file(tmp_path: Path, name: str, media_type: str) -> None:
    (tmp_path / name).write_bytes(b"picture")
    assert Image.from_path(tmp_path / name) == Image(data=b"picture", media_type=media_type)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.pdf", "application/pdf"), ("a.xyz", "application/octet-stream"), ("a.md", "text/markdown")],
)
def test_a_document_is_read_from_a_file(tmp_path: Path, name: str, media_type: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"document")
    assert File.from_path(str(path)) == File(data=b"document", media_type=media_type, filename=name)


def test_a_file_that_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Image.from_path(tmp_path / "no.png")


def test_a_wire_form_is_built_once_for_each_wire() -> None:
    message = user_message("hi")
    built: list[str] = []

    def build(wire: str) -> bytes:
        built.append(wire)
        return wire.encode()

    forms = [message.wire_form(wire, lambda wire=wire: build(wire)) for wire in ("chat", "responses", "chat")]
    assert forms == [b"chat", b"responses", b"chat"]
    assert built == ["chat", "responses"]
    assert message == user_message("hi")


@pytest.mark.parametrize("empty", [Image(), File(), File(filename="a.txt")])
def test_a_part_without_content_is_refused(empty: Image | File) -> None:
    with pytest.raises(InputError):
        user_message(["look", empty])

import pytest

from assistant_kit.messages import File, Image, Json, Part, Text
from assistant_kit.toolsets.http_tools.content import from_result, from_wire, to_wire


@pytest.mark.parametrize(
    "part",
    [
        Text(text="a"),
        Image(data=b"png", media_type="image/png"),
        Image(data=b"png"),
        Image(url="https://pictures.example/1"),
        File(data=b"pdf", media_type="application/pdf", filename="a.pdf"),
        File(url="https://files.example/1", filename="b.pdf"),
    ],
)
def test_content_is_the_same_after_it_has_gone_over_the_wire(part: Part) -> None:
    assert from_wire(to_wire([part])) == (part,)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("words", Text(text="words")),
        ({"type": "audio", "data": "YQ==", "mimeType": "audio/wav"}, File(data=b"a", media_type="audio/wav")),
        ({"type": "file", "data": "YQ=="}, File(data=b"a", media_type="application/octet-stream")),
        ({"type": "image", "data": "YQ==", "media_type": "image/gif"}, Image(data=b"a", media_type="image/gif")),
        ({"type": "audio", "url": "https://a.example"}, File(url="https://a.example")),
        ({"type": "resource_link", "uri": "db://1", "name": "row"}, Text(text="row: db://1")),
        ({"type": "resource_link", "uri": "db://1"}, Text(text="resource: db://1")),
        ({"type": "resource", "resource": {"uri": "db://1", "text": "a row"}}, Text(text="db://1\na row")),
        ({"type": "hologram", "of": "you"}, Text(text='{"type": "hologram", "of": "you"}')),
        ({"type": "text"}, Text(text='{"type": "text"}')),
        (7, Text(text="7")),
    ],
)
def test_other_ways_to_say_it_are_understood_and_nothing_is_lost(block: Json, part: Part) -> None:
    assert from_wire([block]) == (part,)


def test_data_that_cannot_be_decoded_is_told() -> None:
    (part,) = from_wire([{"type": "image", "data": "not base64!", "mimeType": "image/png"}])
    assert isinstance(part, Text)
    assert "image/png" in part.text


@pytest.mark.parametrize(
    ("result", "text"), [("a", "a"), (None, "Done."), ({"é": [1]}, '{"é": [1]}'), (False, "false")]
)
def test_a_result_that_is_no_content_is_text_or_json(result: Json, text: str) -> None:
    assert from_result(result) == (Text(text=text),)

"""A private value is found wherever it stands, and in whatever way it was written."""

import base64
import html
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import InputError
from assistant_kit.testing.no_leak import Leak, LeakFound, assert_no_leak

EMAIL = "Ann.O'Neil+<x>@müller.example"


def leaks(where: object, *values: str) -> tuple[Leak, ...]:
    with pytest.raises(LeakFound) as caught:
        assert_no_leak(where, values)
    return caught.value.leaks


ENCODINGS: dict[str, Callable[[str], str | bytes]] = {
    "text": str,
    "lower case": str.lower,
    "json": json.dumps,
    "json of Unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"a": text})),
    "json in json of Unicode": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False),
    "json for HTML": lambda text: (
        json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e").replace("'", "\\u0027")
    ),
    "html": html.escape,
    "percent": quote,
    "percent, nothing safe": lambda text: quote(text, safe=""),
    "percent, small": lambda text: quote(text, safe="").lower(),
    "a form": lambda text: urlencode({"q": text}),
    "a form, with a blank": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()),
    "hex": lambda text: text.encode().hex(),
    "large hex": lambda text: text.encode().hex().upper(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16, big": lambda text: text.encode("utf-16-be"),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("value", [EMAIL, 'a "quoted"\nvalue/\\', "日本の住所", "plain value"])
def test_a_value_is_found_in_every_encoding(encode: Callable[[str], str | bytes], value: str) -> None:
    encoded = encode(value)
    inside = b"before " + encoded + b" behind" if isinstance(encoded, bytes) else f"before {encoded} behind"

    assert leaks(inside, "something else", value)[0].number == 1


@given(before=st.binary(max_size=8), behind=st.binary(max_size=8), value=st.text(min_size=6, max_size=30))
def test_a_value_is_found_in_base64_of_something_larger(before: bytes, behind: bytes, value: str) -> None:
    data = before + value.encode() + behind

    assert leaks(base64.b64encode(data), value)
    assert leaks(base64.urlsafe_b64encode(data), value)


@given(value=st.text(min_size=4, max_size=30))
def test_any_text_is_found_in_json(value: str) -> None:
    assert leaks(json.dumps({"x": [value]}), value)
    assert leaks(json.dumps({"x": value}, ensure_ascii=False), value)


@pytest.mark.parametrize(
    "written", ["4111111111111111", "4111-1111-1111-1111", "4111 1111\n1111 1111", "4111.1111/1111 1111"]
)
def test_a_long_number_is_found_with_other_gaps(written: str) -> None:
    assert leaks(f"card {written}", "4111 1111 1111 1111")
    assert leaks(f"card {written}", "4111111111111111")


def test_files_of_a_folder_and_their_names_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "log.bin").write_bytes(b"\0\xff" + EMAIL.encode() + b"\0")
    (tmp_path / "ann@example.org.txt").write_text("nothing")

    (leak,) = leaks(tmp_path, EMAIL)
    assert (leak.encoding, leak.offset, Path(leak.place).name) == ("utf-8", 2, "log.bin")
    assert leaks(tmp_path, "ann@example.org")
    assert leaks(tmp_path / "a" / "b" / "log.bin", EMAIL)
    assert assert_no_leak(tmp_path, ["bob@example.org"]) > len(EMAIL)


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "args": arguments, **extra})
    made.name = "app"
    return made


def test_log_records_are_looked_at_with_their_arguments_fields_and_traceback() -> None:
    assert leaks(record(f"user {EMAIL}"), EMAIL)
    assert leaks(record("user %s", EMAIL), EMAIL)
    assert leaks(record("user", user={"mail": [EMAIL]}), EMAIL)
    error = ValueError(EMAIL)
    failed = record("failed", exc_info=(ValueError, error, None))
    assert leaks([record("fine"), failed], EMAIL)
    assert assert_no_leak([record("user %s", "<EMAIL_1>")], [EMAIL]) > 0


@dataclass
class Event:
    name: str = "event"
    attributes: dict[str, object] | None = None


@dataclass
class Status:
    description: str | None = None


@dataclass
class Span:
    """A span, as the SDK of OpenTelemetry gives it to an exporter."""

    name: str = "chat"
    attributes: dict[str, object] | None = None
    events: tuple[Event, ...] = ()
    links: tuple[Event, ...] = ()
    status: Status = field(default_factory=Status)


@pytest.mark.parametrize(
    "span",
    [
        Span(name=EMAIL),
        Span(attributes={"to": EMAIL}),
        Span(attributes={EMAIL: 1}),
        Span(attributes={"to": ("x", EMAIL)}),
        Span(events=(Event(name=EMAIL),)),
        Span(events=(Event(), Event(attributes={"exception.message": EMAIL}))),
        Span(links=(Event(attributes={"x": EMAIL}),)),
        Span(status=Status(description=EMAIL)),
    ],
)
def test_spans_are_looked_at_with_all_they_bear(span: Span) -> None:
    assert leaks(span, EMAIL)
    assert leaks([Span(), span], EMAIL)


def test_a_span_without_private_values_passes() -> None:
    assert assert_no_leak(Span(attributes={"to": "<EMAIL_1>"}, events=(Event(),)), [EMAIL]) > 0


def test_numbers_and_other_objects_are_looked_at_as_text() -> None:
    assert leaks({"card": 4111111111111111}, "4111 1111 1111 1111")
    assert leaks(bytearray(b"ann@example.org"), "ann@example.org")


def test_an_error_does_not_show_the_value() -> None:
    (leak,) = leaks({"mail": EMAIL}, EMAIL)
    with pytest.raises(LeakFound) as caught:
        assert_no_leak({"mail": EMAIL}, [EMAIL])

    assert leak.number == 0
    assert EMAIL not in f"{caught.value} {caught.value.leaks}"


def test_a_test_that_would_show_nothing_is_refused(tmp_path: Path) -> None:
    for values in ([], ["abc"], ["ann@example.org", ""]):
        with pytest.raises(InputError):
            assert_no_leak("text", values)
    with pytest.raises(InputError):
        assert_no_leak(tmp_path / "missing", ["ann@example.org"])

"""Shows in a test that private values are nowhere: not in files, log records, spans or bytes, in no usual encoding."""

import html
import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

from assistant_kit.errors import InputError

__all__ = ["Leak", "LeakFound", "assert_no_leak"]

_SHORTEST: Final = 4
_DIGITS: Final = 9  # from so many on, a number is looked for without its gaps as well
_GAPS: Final = re.compile(r"[\s()./-]")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A value that was found: the number of the value, the encoding, and the place, at this byte of it."""

    number: int
    encoding: str
    place: str
    offset: int


class LeakFound(AssertionError):
    """Private values were found; the text does not show them, as it stands in the log of a test run."""

    def __init__(self, leaks: tuple[Leak, ...]) -> None:
        lines = [f"value {each.number} as {each.encoding} in {each.place}, at {each.offset}" for each in leaks]
        super().__init__("private values have leaked: " + "; ".join(lines))
        self.leaks: tuple[Leak, ...] = leaks


@dataclass(frozen=True, slots=True)
class _Needle:
    number: int
    encoding: str
    data: bytes = field(repr=False)


def assert_no_leak(where: object, values: Iterable[str]) -> int:
    """Return how many bytes were looked at, when none of the values is in `where`; else raise LeakFound.

    `where` is a text, bytes, a `Path` of a file or a folder (with all that is in it), a `logging.LogRecord`, a span
    (with `name`, `attributes` and `events`, as those of OpenTelemetry), a mapping, or an iterable of these. A value is
    found as UTF-8 and UTF-16, JSON text (also in JSON text), HTML, percent-encoded, base64 and hexadecimal digits, in
    lower case, and a long number without its gaps or with others. What is compressed or encrypted is not looked into.
    Raises InputError where the test would show nothing: no values, values of less than 4 characters, no such file.
    """
    needles = [needle for number, value in enumerate(values) for needle in _needles(number, value)]
    if not needles:
        raise InputError("assert_no_leak: there are no values to look for")
    seen = 0
    leaks: list[Leak] = []
    for place, data in _places(where, "the given"):
        seen += len(data)
        leaks += _leaks(place, data, needles)
    if leaks:
        raise LeakFound(tuple(leaks))
    return seen


def _leaks(place: str, data: bytes, needles: Iterable[_Needle]) -> Iterator[Leak]:
    lowered = data.lower()
    for needle in needles:
        if needle.encoding == "digits":
            found = _number_in(lowered, needle.data)
        else:
            exact = needle.encoding.startswith("base64")
            found = data.find(needle.data) if exact else lowered.find(needle.data.lower())
        if found >= 0:
            yield Leak(number=needle.number, encoding=needle.encoding, place=place, offset=found)


def _number_in(data: bytes, digits: bytes) -> int:
    """Return where a number stands, whatever gaps it has; -1 if nowhere."""
    gap = rb"[\s()./-]{0,2}"
    found = re.search(gap.join(rb"%c" % digit for digit in digits), data)
    return -1 if found is None else found.start()


def _needles(number: int, value: str) -> Iterator[_Needle]:
    if len(value) < _SHORTEST:
        raise InputError(f"assert_no_leak: value {number} has less than {_SHORTEST} characters and would be anywhere")
    forms: dict[bytes, str] = {}
    for encoding, text in _texts(value):
        forms.setdefault(text.encode(errors="surrogatepass"), encoding)
    for encoding in ("utf-16-le", "utf-16-be"):
        forms.setdefault(value.encode(encoding, errors="surrogatepass"), encoding)
    data = value.encode(errors="surrogatepass")
    forms.setdefault(data.hex().encode(), "hex")
    for form in _base64(data):
        forms.setdefault(form, "base64")
        forms.setdefault(form.replace(b"+", b"-").replace(b"/", b"_"), "base64, for URLs")
    for form, encoding in forms.items():
        yield _Needle(number, encoding, form)
    digits = _GAPS.sub("", value).encode(errors="surrogatepass").removeprefix(b"+")
    if len(digits) >= _DIGITS and digits.isdigit():
        yield _Needle(number, "digits", digits)


def _texts(value: str) -> Iterator[tuple[str, str]]:
    yield "utf-8", value
    for name, ascii_only in (("json, ASCII", True), ("json", False)):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        twice = json.dumps(once, ensure_ascii=ascii_only)[1:-1]
        yield name, once
        yield name, once.replace("/", "\\/")
        yield f"{name}, twice", twice
    escaped = json.dumps(value)[1:-1]
    for letter in "<>&'":
        escaped = escaped.replace(letter, f"\\u{ord(letter):04x}")
    yield "json, for HTML", escaped
    yield "html", html.escape(value)
    yield "html", html.escape(value, quote=False)
    for safe in ("", "/", "@:/+", "!'()*~@:$,;+/"):
        yield "percent", quote(value, safe=safe, errors="surrogatepass")
        yield "percent, of a form", quote_plus(value, safe=safe, errors="surrogatepass")


def _base64(data: bytes) -> Iterator[bytes]:
    """Return what is the same in any text that holds the data, at each of the three places in a group."""
    for before in range(3):
        padded = bytes(before) + data
        encoded = b64encode(padded).rstrip(b"=")
        yield encoded[(4 * before + 2) // 3 : len(padded) * 8 // 6]


def _places(where: object, name: str) -> Iterator[tuple[str, bytes]]:
    """Return all that is to be looked at, each with the name of its place."""
    match where:
        case str():
            yield f"{name} text", where.encode(errors="surrogatepass")
        case bytes() | bytearray() | memoryview():
            yield f"{name} bytes", bytes(cast("bytes", where))
        case PathLike():
            yield from _files(Path(cast("PathLike[str]", where)))
        case logging.LogRecord():
            yield from _log_record(where)
        case Iterable():
            yield from _members(cast("Iterable[object]", where), name)
        case _:
            yield from _object(where, name)


def _members(where: Iterable[object], name: str) -> Iterator[tuple[str, bytes]]:
    if isinstance(where, Mapping):
        for key, value in cast("Mapping[object, object]", where).items():
            yield from _places(key, f"{name} key")
            yield from _places(value, f"{name} value")
        return
    for number, each in enumerate(where):
        yield from _places(each, f"{name} {number}:")


def _object(where: object, name: str) -> Iterator[tuple[str, bytes]]:
    """Look at a span, or at the text of anything else."""
    if hasattr(where, "attributes") and hasattr(where, "events"):
        yield from _span(where)
    else:
        yield f"{name} {type(where).__name__}", str(where).encode(errors="surrogatepass")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if not path.exists():
        raise InputError(f"assert_no_leak: there is no {path}")
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        yield f"the name of a file in {each.parent}", each.name.encode(errors="surrogateescape")
        if each.is_file():
            yield f"{each}", each.read_bytes()


def _log_record(record: logging.LogRecord) -> Iterator[tuple[str, bytes]]:
    name = f"log record of {record.name}"
    formatted = logging.Formatter().format(record)  # with the traceback
    yield name, formatted.encode(errors="surrogatepass")
    more = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    yield from _places([record.msg, record.args, more], name)


def _span(span: Any) -> Iterator[tuple[str, bytes]]:
    name = f"span {type(span).__name__}"
    status = getattr(getattr(span, "status", None), "description", None)
    for each in (span, *span.events, *getattr(span, "links", ())):
        yield from _places([getattr(each, "name", ""), each.attributes or ()], name)
    yield from _places(status or "", f"{name} status")

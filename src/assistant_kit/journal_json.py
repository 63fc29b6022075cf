"""The stable form of journal entries: one JSON object an entry, with the version of the format first.

Unknown fields and values of a wrong type are refused, not dropped: an entry is read whole or is an error that names
it. How each field is read follows from its annotation.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from pydantic_core import from_json, to_json

from assistant_kit.entries import FORMAT_VERSION, Entry, Measured
from assistant_kit.errors import InputError, UnreadableEntry

Reader: TypeAlias = Callable[[Any], Any]


def encode(measured: Measured) -> bytes:
    """Return the body of a record. Raises InputError when a text in it is no Unicode text."""
    try:
        return _head(measured.counted_by) + to_json(measured.entry, bytes_mode="base64")[1:]
    except ValueError as error:
        message = f"a {measured.entry.kind} cannot be stored: a text in it is no Unicode text (it has lone surrogates)"
        raise InputError(message) from error


@lru_cache(maxsize=64)
def _head(counted_by: str) -> bytes:
    return b'{"v":%d,"counter":%s,' % (FORMAT_VERSION, to_json(counted_by))


def decode(body: bytes, *, conversation: str, seq: int, tokens: int, at: float) -> Measured:
    """Return the entry in the body of a record. Raises UnreadableEntry."""
    try:
        data = from_json(body)
        if not isinstance(data, dict):
            raise _unfit("an object", data)
        facts = cast("dict[str, Any]", data)
        _check_version(facts.pop("v", None))
        counted_by = _TEXT(facts.pop("counter", None))
        entry = _ENTRY(facts)
    except ValueError as error:
        raise UnreadableEntry(conversation, seq, str(error)) from error
    return Measured(entry=entry, tokens=tokens, counted_by=counted_by, seq=seq, at=at)


def _check_version(version: Any) -> None:
    if type(version) is not int or version != FORMAT_VERSION:
        message = f"format version {version!r}, and this version of assistant_kit reads {FORMAT_VERSION}"
        raise ValueError(message)


def _unfit(expected: str, data: Any) -> ValueError:
    """Make the error for a value of a wrong type; the value itself may be private and stays out of it."""
    return ValueError(f"{expected} was expected, not {type(data).__name__}")


def _reader(hint: Any) -> Reader:
    """Return what reads a value of an annotated type from JSON, or raises ValueError."""
    origin = get_origin(hint)
    if origin is Literal:
        return _one_of(get_args(hint))
    if origin is tuple:
        return _all(_reader(get_args(hint)[0]))
    if origin in (Union, UnionType):
        return _any_of(get_args(hint))
    if is_dataclass(hint):
        return _any_of((hint,))
    return _base64 if hint is bytes else _exactly(hint)


def _exactly(kind: type[Any]) -> Reader:
    kinds = (float, int) if kind is float else (kind,)

    def read(data: Any) -> Any:
        if type(data) not in kinds:
            raise _unfit(kind.__name__, data)
        return data

    return read


def _one_of(values: tuple[Any, ...]) -> Reader:
    def read(data: Any) -> Any:
        if not isinstance(data, str) or data not in values:
            message = f"one of {', '.join(values)} was expected, not {data!r:.40}"
            raise ValueError(message)
        return data

    return read


def _base64(data: Any) -> bytes:
    return b64decode(_TEXT(data), altchars=b"-_", validate=True)


def _all(read_one: Reader) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _unfit("a list", data)
        return tuple(map(read_one, cast("list[Any]", data)))

    return read


def _fields_of(kind: type[Any]) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def read(data: dict[str, Any]) -> Any:
        values: dict[str, Any] = {}
        name = ""
        try:
            for name, value in data.items():
                values[name] = readers[name](value)
        except KeyError as error:
            message = f"a {kind.__name__} has no field {name!r:.40}"
            raise ValueError(message) from error
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from error
        try:
            return kind(**values)
        except TypeError as error:
            raise ValueError(*error.args) from error  # says which field is missing

    return read


def _object(readers: Mapping[str | None, Reader]) -> Reader:
    """Read an object by its `kind`; Keyed and Usage have none and stand alone."""

    def read(data: dict[str, Any]) -> Any:
        kind = data.get("kind")
        if not isinstance(kind, str | None) or kind not in readers:
            message = f"there is no kind {kind!r:.40} here"
            raise ValueError(message)
        return readers[kind](data)

    return read


def _any_of(hints: tuple[Any, ...]) -> Reader:
    """Read a union by the JSON type of the value: an object, a text, or null."""
    kinds = [hint for hint in hints if is_dataclass(hint)]
    readers: dict[type[Any], Reader] = {}
    for hint in hints:
        if hint not in (*kinds, NoneType):
            readers[str] = _reader(hint)
    if kinds:
        readers[dict] = _object({_kind_of(kind): _fields_of(cast("type[Any]", kind)) for kind in kinds})
    if NoneType in hints:
        readers[NoneType] = _exactly(NoneType)
    names = " or ".join(_JSON_NAMES[kind] for kind in readers)

    def read(data: Any) -> Any:
        reader = readers.get(cast("type[Any]", type(data)))
        if reader is None:
            raise _unfit(names, data)
        return reader(data)

    return read


def _kind_of(kind: Any) -> str | None:
    return next((str(field.default) for field in fields(kind) if field.name == "kind"), None)


_JSON_NAMES: dict[type[Any], str] = {dict: "an object", str: "a text", NoneType: "null"}
_TEXT = _exactly(str)
_ENTRY = _reader(Entry)

"""The lines of an export: each is one JSON object, whose `line` says what it holds."""

import json
from base64 import b64decode, b64encode
from typing import Any, Final, TypeVar, cast

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import InputError
from assistant_kit.protocols.memory import Remembered
from assistant_kit.protocols.search_index import Label
from assistant_kit.protocols.store import ConversationInfo, NewRecord, Record
from assistant_kit.protocols.user_data import UserData

FORMAT: Final = "assistant_kit.export"
VERSION: Final = 2
"""Of the lines. A reader refuses a higher one, and knows all fields and lines of its own and of lower ones."""

COUNTED: Final = ("conversations", "records", "links", "memories", "kept")
"""What the last line counts."""

_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
# Some programs take these for ends of lines. JSON has them in texts only, where they may be escaped.
_NO_ENDS: Final = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})

T = TypeVar("T")


class BadLine(InputError):
    """A line of an import that cannot be read; `line` counts from 1. What stood before it was imported."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line} of the import: {problem}")
        self.line = line
        self.problem = problem


def head_line() -> str:
    """Return the first line of an export."""
    return _line({"line": "export", "format": FORMAT, "version": VERSION})


def conversation_line(info: ConversationInfo, *, records: int) -> str:
    """Return the line before the records of a conversation."""
    return _line(
        {
            "line": "conversation",
            "conversation": info.conversation,
            "title": info.title,
            "records": records,
            "created_at": info.created_at,
            "updated_at": info.updated_at,
        }
    )


def record_line(conversation: str, record: Record) -> str:
    """Return the line of a record."""
    return _line(
        {
            "line": "record",
            "conversation": conversation,
            "seq": record.seq,
            "id": record.record_id,
            "kind": record.kind,
            "tokens": record.tokens,
            "at": record.at,
            **_body_fields(record.body),
        }
    )


def audit_line(link: AuditLink) -> str:
    """Return the line of an audit link."""
    payload = None if link.payload is None else link.payload.decode("utf-8", "backslashreplace")
    salt = None if link.salt is None else link.salt.hex()
    return _line(
        {
            "line": "audit",
            "n": link.n,
            "at_us": link.at_us,
            "payload": payload,
            "salt": salt,
            "digest": link.digest.hex(),
            "link": link.link.hex(),
        }
    )


def memory_line(memory: Remembered) -> str:
    """Return the line of a memory."""
    return _line(
        {
            "line": "memory",
            "id": memory.id,
            "text": memory.text,
            "source": memory.source,
            "created_at": memory.created_at,
            "updated_at": memory.updated_at,
            "labels": dict(memory.labels),
        }
    )


def kept_line(kept: UserData) -> str:
    """Return the line of something else that is kept of a user."""
    return _line({"line": "kept", "place": kept.place, "name": kept.name, "data": kept.data})


def end_line(**counts: int) -> str:
    """Return the last line of an export, by which a reader knows that nothing was cut off; it has all of `COUNTED`."""
    return _line({"line": "end", **{name: counts.get(name, 0) for name in COUNTED}})


def _line(fields: dict[str, Any]) -> str:
    return _COMPACT(fields).translate(_NO_ENDS) + "\n"


def _body_fields(body: bytes) -> dict[str, Any]:
    """Return a body as an object if the same bytes come of it again; else as a text, or in base64."""
    try:
        entry: Any = json.loads(body)
        if isinstance(entry, dict) and _COMPACT(entry).encode() == body:
            return {"entry": cast("dict[str, Any]", entry)}
    except (ValueError, RecursionError):
        pass
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode()}


class Line:
    """A line that is read: its number, and its fields, each checked when it is asked for."""

    def __init__(self, number: int, text: str) -> None:
        """Read a line. Raises BadLine."""
        self.number = number
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadLine(number, f"it is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise self.bad("it is no JSON object")
        self._fields = cast("dict[str, Any]", fields)
        self.kind: str = self.get("line", str)

    def bad(self, problem: str) -> BadLine:
        """Return the error that says what is wrong with this line."""
        return BadLine(self.number, problem)

    def get(self, name: str, kind: type[T]) -> T:
        """Return a field. Raises BadLine if it is not there or of another type."""
        value = self._fields.get(name)
        if type(value) is not kind:
            raise self.bad(f"{name!r} is to be a {kind.__name__}, not {type(value).__name__}")
        return value

    def check_head(self) -> None:
        """Check that an export begins here that this version reads. Raises BadLine."""
        if self.kind != "export" or self.get("format", str) != FORMAT:
            raise self.bad(f"an export begins with a line that says that its format is {FORMAT!r}")
        version = self.get("version", int)
        if not 1 <= version <= VERSION:
            raise self.bad(
                f"it has version {version}, and this version of assistant_kit reads 1 to {VERSION}: upgrade it"
            )

    def record(self) -> NewRecord:
        """Return the record of this line. Raises BadLine."""
        return NewRecord(
            record_id=self.get("id", str), kind=self.get("kind", str), body=self._body(), tokens=self.get("tokens", int)
        )

    def labels(self) -> dict[str, Label]:
        """Return the labels of a memory. Raises BadLine."""
        labels = self.get("labels", cast("type[dict[str, Any]]", dict))
        if not all(isinstance(label, str | int | bool) for label in labels.values()):
            raise self.bad("'labels' are texts, whole numbers, true or false")
        return labels

    def _body(self) -> bytes:
        try:
            if "entry" in self._fields:
                return _COMPACT(self.get("entry", cast("type[dict[str, Any]]", dict))).encode()
            if "text" in self._fields:
                return self.get("text", str).encode()
            return b64decode(self.get("base64", str), validate=True)
        except BadLine:
            raise
        except ValueError as error:
            raise self.bad(f"its body cannot be read: {error}") from error

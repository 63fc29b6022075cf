"""What a conversation is made of: items shaped like those of the OpenAI Responses API.

Every item is a frozen value. What a provider needs back unchanged (reasoning, hosted tool items) travels in
`raw`, the JSON text as the provider gave it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from os.path import basename, splitext
from typing import Literal, TypeAlias, cast

from assistant_kit.errors import InputError

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]
Outcome: TypeAlias = Literal["ok", "error", "unknown", "cancelled", "denied"]


class WireForms:
    """Remembers how an item looks on the wire, so that it is serialised once and stays identical to the byte."""

    __slots__ = ("_forms",)
    _forms: dict[str, bytes]

    def wire_form(self, wire: str, build: Callable[[], bytes]) -> bytes:
        """Return the bytes of this item for the wire format `wire`, built at most once."""
        try:
            forms = self._forms
        except AttributeError:
            forms = {}
            object.__setattr__(self, "_forms", forms)
        form = forms.get(wire)
        if form is None:
            form = forms[wire] = build()
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A piece of text."""

    kind: Literal["text"] = "text"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture, by `data` (bytes) or by `url`; `media_type` such as `image/png` goes with `data`."""

    kind: Literal["image"] = "image"
    data: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    detail: Literal["auto", "low", "high"] = "auto"

    @classmethod
    def from_path(cls, path: str | PathLike[str]) -> "Image":
        """Read a picture from a file; raises OSError as `open` does."""
        return cls(data=_read(path), media_type=_media_type(path, "image/png"))


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A document, by `data` (bytes) or by `url`."""

    kind: Literal["file"] = "file"
    data: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    filename: str | None = None

    @classmethod
    def from_path(cls, path: str | PathLike[str]) -> "File":
        """Read a document from a file; raises OSError as `open` does."""
        kind = _media_type(path, "application/octet-stream")
        return cls(data=_read(path), media_type=kind, filename=basename(path))  # noqa: PTH119  (as above)


Part: TypeAlias = Text | Image | File


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage(WireForms):
    """What the user said."""

    kind: Literal["user"] = "user"
    content: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeveloperMessage(WireForms):
    """What the application says to the model in mid-conversation, such as how to repair an answer."""

    kind: Literal["developer"] = "developer"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessage(WireForms):
    """What the model said: `text`, or a `refusal`. `raw` is the item as its provider gave it."""

    kind: Literal["assistant"] = "assistant"
    text: str
    refusal: str | None = None
    raw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(WireForms):
    """A call that the model asks for; `arguments` is JSON text as the model wrote it, valid or not."""

    kind: Literal["tool_call"] = "tool_call"
    call_id: str
    name: str
    arguments: str
    raw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer(WireForms):
    """What became of a call, in the words the model reads."""

    kind: Literal["tool_answer"] = "tool_answer"
    call_id: str
    outcome: Outcome = "ok"
    content: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning(WireForms):
    """The model's reasoning: a readable `text`, possibly empty, and the provider's item, replayed whole."""

    kind: Literal["reasoning"] = "reasoning"
    text: str = ""
    raw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderItem(WireForms):
    """An item that only its provider understands (a hosted tool's call), replayed whole to that provider."""

    kind: Literal["provider"] = "provider"
    type: str
    raw: str


OutputItem: TypeAlias = AssistantMessage | ToolCall | Reasoning | ProviderItem
Item: TypeAlias = UserMessage | DeveloperMessage | ToolAnswer | OutputItem
UserInput: TypeAlias = "str | Part | Sequence[str | Part]"
_PIECES = (str, Text, Image, File)


def user_message(content: UserInput) -> UserMessage:
    """Make a user message of text, a part, or a sequence of both.

    Raises InputError when there is nothing in it or in a part, when it is something else, or when a text is no Unicode.
    """
    if not _is_input(content):
        message = f"a message is text, an Image, a File or a sequence of these, not {type(content).__name__}"
        raise InputError(message)
    pieces: Sequence[str | Part] = (content,) if isinstance(content, str | Text | Image | File) else content
    parts = tuple(Text(text=piece) if isinstance(piece, str) else piece for piece in pieces)
    if not any(not isinstance(part, Text) or part.text.strip() for part in parts):
        message = "the message is empty: give it text, an image or a file"
        raise InputError(message)
    if not all(has_content(part) for part in parts):
        message = "an image or a file in the message has neither data nor url: give it one of them"
        raise InputError(message)
    if not all(is_unicode(text) for part in parts for text in _texts(part)):
        message = "the message is no Unicode text (it has lone surrogates): decode the bytes it came from first"
        raise InputError(message)
    return UserMessage(content=parts)


def _is_input(content: object) -> bool:
    """Tell whether this is what the types promise: callers without a type checker pass bytes, None or dictionaries."""
    if isinstance(content, _PIECES):
        return True
    return isinstance(content, Sequence) and all(
        isinstance(piece, _PIECES) for piece in cast("Sequence[object]", content)
    )


def _texts(part: Part) -> tuple[str, ...]:
    if isinstance(part, Text):
        return (part.text,)
    texts = (part.url, part.media_type, part.filename if isinstance(part, File) else None)
    return tuple(text for text in texts if text is not None)


def has_content(part: Part) -> bool:
    """Tell whether there is anything in a part: a picture or a document needs `data` or `url`."""
    return isinstance(part, Text) or part.data is not None or part.url is not None


def is_unicode(text: str) -> bool:
    """Tell whether text can be stored and sent: lone surrogates, which stand for undecodable bytes, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_of(content: Sequence[Part]) -> str:
    """Return the text parts of some content, joined by newlines."""
    return "\n".join(part.text for part in content if isinstance(part, Text))


_MEDIA_TYPES = {
    ".gif": "image/gif", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".csv": "text/csv", ".html": "text/html", ".json": "application/json", ".md": "text/markdown",
    ".pdf": "application/pdf", ".txt": "text/plain",
}  # fmt: skip


def _read(path: str | PathLike[str]) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  (importing pathlib costs more than this whole module)
        return file.read()


def _media_type(path: str | PathLike[str], default: str) -> str:
    return _MEDIA_TYPES.get(splitext(path)[1].lower(), default)  # noqa: PTH122  (as above)

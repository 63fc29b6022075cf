"""Items of the OpenAI Agents SDK as messages of this library, and back.

The SDK keeps dictionaries shaped like the input of the Responses API. Those of a server that speaks Chat Completions
bear a made-up id and data of their own, which no provider takes back.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic_core import from_json, to_json

from assistant_kit.entries import CallResolved, Entry, ModelResponded, ToolFinished, TurnStarted
from assistant_kit.errors import InputError
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    OutputItem,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
    UserMessage,
)

SDK: Final = "OpenAI Agents SDK"
"""The assistant that answers turns of the SDK, and who finds out about its calls."""

Item: TypeAlias = dict[str, Any]
Role: TypeAlias = Literal["user", "output", "result", "other"]
"""What an item is to a journal: the user's, the model's, the result of a function call, or nothing it knows."""

_ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "output"}
_MADE_UP_ID: Final = "__fake_id__"  # agents.models.fake_id: this module works without the SDK
_DETAILS: Final[Mapping[str, Literal["auto", "low", "high"]]] = {"auto": "auto", "low": "low", "high": "high"}


def exact(item: object) -> str:
    """Return an item as JSON text. Raises InputError when it is no JSON object, or has text that is no Unicode."""
    if not isinstance(item, dict):
        raise InputError(f"an item of a session is a dictionary, not {type(item).__name__}")
    try:
        return to_json(cast("Item", item), inf_nan_mode="constants").decode()
    except ValueError as error:
        raise InputError("an item of a session is not JSON, or a text in it has lone surrogates") from error


def role_of(item: Item) -> Role:
    """Return what an item is to a journal."""
    kind = item.get("type")
    if kind == "function_call_output":
        return "result" if isinstance(item.get("call_id"), str) else "other"
    if isinstance(kind, str) and kind != "message":
        return "output"
    return _ROLES.get(str(item.get("role")), "other") if kind in (None, "message") else "other"


def is_answer(item: Item) -> bool:
    """Tell whether an item is what the assistant says, with which a turn may end."""
    return role_of(item) == "output" and item.get("role") == "assistant"


def user_message(item: Item) -> UserMessage:
    """Return what the user says in an item."""
    return UserMessage(content=_parts(item.get("content")))


def result_content(item: Item) -> tuple[Part, ...]:
    """Return what a function call returned."""
    return _parts(item.get("output"))


def output_items(items: Sequence[Item]) -> tuple[OutputItem, ...]:
    """Return one answer of the model. What has an id that no provider can take back is without its raw form."""
    sealed = all(item.get("encrypted_content") for item in items if item.get("type") == "reasoning")
    return tuple(_output_item(item, sealed=sealed) for item in items)


def _output_item(item: Item, *, sealed: bool) -> OutputItem:
    text = exact(item)
    made_up = item.get("id") == _MADE_UP_ID or "provider_data" in item
    # An id of OpenAI's binds an item to reasoning that is only kept there: it is refused without it.
    raw = text if sealed and not made_up else None
    match item:
        case {"type": "function_call", "call_id": str(call_id), "name": str(name), "arguments": str(arguments)}:
            return ToolCall(call_id=call_id, name=name, arguments=arguments, raw=raw)
        case {"type": "reasoning"}:
            pieces = [str(piece.get("text", "")) for piece in _objects(item.get("summary"))]
            return Reasoning(text="\n\n".join(pieces), raw=None if made_up else text)
        case {"type": str(kind)} if kind != "message":
            return ProviderItem(type=kind, raw=text)
        case _:
            content = item.get("content")
            pieces = _objects(content)
            said = content if isinstance(content, str) else "".join(str(piece.get("text", "")) for piece in pieces)
            refusal = "".join(str(piece.get("refusal", "")) for piece in pieces)
            return AssistantMessage(text=said, refusal=refusal or None, raw=raw)


def model_of(items: Sequence[Item]) -> str:
    """Return the model that answered, where the SDK tells."""
    for item in items:
        match item:
            case {"provider_data": {"model": str(model)}}:
                return model
            case _:
                pass
    return ""


def items_of(entry: Entry) -> list[Item]:
    """Return the items that an entry stands for by itself, whoever wrote it."""
    match entry:
        case TurnStarted():
            return [{"content": _content(entry.input.content), "role": "user"}]
        case ModelResponded():
            prompt = () if entry.prompt is None else (_developer(entry.prompt),)
            return [*prompt, *(item for output in entry.items for item in _back(output))]
        case ToolFinished():
            return [result_item(entry.call_id, entry.content)]
        case CallResolved(by=by) if by == SDK:
            return [result_item(entry.call_id, entry.content)]
        case _:
            return []


def result_item(call_id: str, content: Sequence[Part]) -> Item:
    """Return the result of a call as the SDK writes it."""
    return {"call_id": call_id, "output": _content(content), "type": "function_call_output"}


def _developer(prompt: DeveloperMessage) -> Item:
    return {"content": prompt.text, "role": "developer"}


def _back(item: OutputItem) -> list[Item]:
    kept = None if item.raw is None else _parsed(item.raw)
    if kept is not None:
        return [kept]
    match item:
        case ToolCall():
            call = {"arguments": item.arguments, "call_id": item.call_id, "name": item.name, "type": "function_call"}
            return [call]
        case AssistantMessage():
            return [{"content": item.refusal or item.text, "role": "assistant"}]
        case _:
            return []  # reasoning that no provider would take back


def _parsed(raw: str) -> Item | None:
    try:
        data = from_json(raw)
    except ValueError:
        return None
    return cast("Item", data) if isinstance(data, dict) else None


def _content(content: Sequence[Part]) -> str | list[Item]:
    if all(isinstance(part, Text) for part in content) and len(content) <= 1:
        return "".join(part.text for part in content if isinstance(part, Text))
    return [_part(part) for part in content]


def _part(part: Part) -> Item:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    url = (
        part.url
        or f"data:{part.media_type or 'application/octet-stream'};base64,{b64encode(part.data or b'').decode()}"
    )
    if isinstance(part, Image):
        return {"type": "input_image", "detail": part.detail, "image_url": url}
    if part.url:
        return {"type": "input_file", "file_url": url}
    return {"type": "input_file", "filename": part.filename or "file", "file_data": url}


def _parts(content: Any) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(text=content),)
    if not isinstance(content, list):
        return () if content is None else (Text(text=to_json(content).decode()),)
    return tuple(map(_part_of, cast("list[object]", content)))


def _part_of(piece: object) -> Part:
    match piece:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return Text(text=text)
        case {"type": "input_image", "image_url": str(url)}:
            return Image(url=url, detail=_DETAILS.get(str(cast("Item", piece).get("detail")), "auto"))
        case {"type": "input_file", "file_url": str(url)}:
            return File(url=url)
        case {"type": "input_file", "file_data": str(url)}:
            return _file(url, cast("Item", piece).get("filename")) or _named(piece)
        case _:
            return _named(piece)


def _file(url: str, filename: object) -> File | None:
    head, _, data = url.partition(";base64,")
    try:
        content = b64decode(data, validate=True)
    except ValueError:
        return None
    if not head.startswith("data:") or not content:
        return None
    return File(data=content, media_type=head[5:], filename=filename if isinstance(filename, str) else None)


def _named(piece: object) -> Text:
    """Return a text in place of what this library cannot show to a model, such as a file that a provider keeps."""
    return Text(text=to_json(piece).decode())


def _objects(value: object) -> list[Item]:
    pieces = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Item", piece) for piece in pieces if isinstance(piece, dict)]

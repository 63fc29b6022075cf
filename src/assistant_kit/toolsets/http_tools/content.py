"""Content on the wire of the HTTP contract, in the shapes that MCP gave to it."""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

from assistant_kit.messages import File, Image, Json, JsonObject, Part, Text

_ANY_BYTES = "application/octet-stream"


def to_wire(content: Sequence[Part]) -> list[JsonObject]:
    """Return the wire form of content: a block for each part."""
    return [_block(part) for part in content]


def from_wire(blocks: Sequence[Json]) -> tuple[Part, ...]:
    """Read blocks of content; one of an unknown kind becomes its JSON text, so that nothing is lost."""
    return tuple(_part(block) for block in blocks)


def from_result(result: Json) -> tuple[Part, ...]:
    """Return a result that is no list of blocks as content: text as it is, anything else as JSON text."""
    if result is None:
        return (Text(text="Done."),)
    return (Text(text=result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)),)


def _block(part: Part) -> JsonObject:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    place: JsonObject = {"url": part.url} if part.data is None else {"data": b64encode(part.data).decode()}
    block: JsonObject = {"type": part.kind, **place}
    if part.media_type is not None:
        block = {**block, "mimeType": part.media_type}
    if isinstance(part, File) and part.filename is not None:
        block = {**block, "filename": part.filename}
    return block


def _part(block: Json) -> Part:
    match block:
        case str():
            return Text(text=block)
        case {"type": "text", "text": str() as text}:
            return Text(text=text)
        case {"type": "image" | "audio" | "file" as kind, "data": str() as data}:
            return _binary(block, str(kind), data)
        case {"type": "image", "url": str() as url}:
            return Image(url=url)
        case {"type": "file" | "audio", "url": str() as url}:
            return File(url=url, filename=_word(block, "filename"))
        case {"type": "resource_link", "uri": str() as uri}:
            return Text(text=f"{_word(block, 'name') or 'resource'}: {uri}")
        case {"type": "resource", "resource": {"text": str() as text, "uri": str() as uri}}:
            return Text(text=f"{uri}\n{text}")
        case _:
            return Text(text=json.dumps(block, ensure_ascii=False))


def _binary(block: JsonObject, kind: str, data: str) -> Part:
    media_type = _word(block, "mimeType") or _word(block, "media_type")
    try:
        raw = b64decode(data, validate=True)
    except binascii.Error:
        return Text(text=f"({kind}, {media_type or _ANY_BYTES}: the server sent data that cannot be decoded)")
    if kind == "image":
        return Image(data=raw, media_type=media_type)
    return File(data=raw, media_type=media_type or _ANY_BYTES, filename=_word(block, "filename"))


def _word(block: Mapping[str, Json], name: str) -> str | None:
    value = block.get(name)
    return value if isinstance(value, str) else None

"""The result of an MCP tool as content for the model."""

import binascii
import json
from base64 import b64decode
from urllib.parse import urlsplit

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from assistant_kit.messages import File, Image, Part, Text
from assistant_kit.protocols.toolset import ToolOutput

_FOR_THE_USER = "(what follows is meant for the user)"


def tool_output(result: CallToolResult) -> ToolOutput:
    """Translate a result; structured content counts when there is nothing else, as its JSON text.

    Content that the server means for the user alone is named as such: the model knows what it need not repeat. The
    priority of content changes nothing.
    """
    content = tuple(part for block in result.content for part in _parts(block))
    if not content and result.structured_content is not None:
        content = (Text(text=json.dumps(result.structured_content, ensure_ascii=False)),)
    return ToolOutput(content=content, is_error=bool(result.is_error), untrusted=True)


def content_part(block: ContentBlock) -> Part:
    """Translate one piece of content."""
    return _part(block)


def resource_part(resource: TextResourceContents | BlobResourceContents) -> Part:
    """Translate the contents of a resource; a text has its address above it."""
    return _resource(resource)


def _parts(block: ContentBlock) -> tuple[Part, ...]:
    part = _part(block)
    audience = None if block.annotations is None else block.annotations.audience
    if audience != ["user"]:
        return (part,)
    if isinstance(part, Text):
        return (Text(text=f"{_FOR_THE_USER}\n{part.text}"),)
    return (Text(text=_FOR_THE_USER), part)


def _part(block: ContentBlock) -> Part:
    match block:
        case TextContent():
            return Text(text=block.text)
        case ImageContent():
            return _binary(block.data, block.mime_type, "image")
        case AudioContent():
            return _binary(block.data, block.mime_type, "audio")
        case ResourceLink():
            about = f"{block.name}: {block.uri}" + (f" ({block.mime_type})" if block.mime_type else "")
            return Text(text=f"{about}\n{block.description}" if block.description else about)
        case _:
            return _resource(block.resource)


def _resource(resource: TextResourceContents | BlobResourceContents) -> Part:
    if isinstance(resource, TextResourceContents):
        return Text(text=f"{resource.uri}\n{resource.text}")
    return _binary(resource.blob, resource.mime_type, _last_piece(resource.uri))


def _binary(data: str, media_type: str | None, name: str) -> Part:
    kind = media_type or "application/octet-stream"
    try:
        raw = b64decode(data, validate=True)
    except binascii.Error:
        return Text(text=f"({name}, {kind}: the server sent data that cannot be decoded)")
    if kind.startswith("image/"):
        return Image(data=raw, media_type=kind)
    subtype = kind.rpartition("/")[2]
    named = name if "." in name or not subtype.isalnum() else f"{name}.{subtype}"
    return File(data=raw, media_type=kind, filename=named)


def _last_piece(uri: str) -> str:
    return urlsplit(uri).path.rstrip("/").rpartition("/")[2] or "resource"

from base64 import b64encode
from typing import Any

import pytest
from mcp.types import (
    Annotations,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from assistant_kit.errors import ToolError
from assistant_kit.messages import File, Image, Part, Text
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.toolsets.mcp.results import tool_output
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.toolsets.mcp.servers.control import ask, context
from tests.toolsets.mcp.servers.listing import listing_server, tool

DATA = b64encode(b"data").decode()


def blob(uri: str, media_type: str | None = None) -> EmbeddedResource:
    return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=media_type, blob=DATA))


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (TextContent(text="hello"), Text(text="hello")),
        (ImageContent(data=DATA, mime_type="image/png"), Image(data=b"data", media_type="image/png")),
        (
            AudioContent(data=DATA, mime_type="audio/wav"),
            File(data=b"data", media_type="audio/wav", filename="audio.wav"),
        ),
        (
            ResourceLink(name="log", uri="file:///log", mime_type="text/plain", description="Today's log."),
            Text(text="log: file:///log (text/plain)\nToday's log."),
        ),
        (ResourceLink(name="log", uri="file:///log"), Text(text="log: file:///log")),
        (
            EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="hello")),
            Text(text="file:///a\nhello"),
        ),
        (
            blob("file:///x/report.pdf", "application/pdf"),
            File(data=b"data", media_type="application/pdf", filename="report.pdf"),
        ),
        (blob("file:///x/plot", "image/png"), Image(data=b"data", media_type="image/png")),
        (blob("data:"), File(data=b"data", media_type="application/octet-stream", filename="resource")),
        (
            blob("x:/y", "application/x-never-heard-of"),
            File(data=b"data", media_type="application/x-never-heard-of", filename="y"),
        ),
        (
            ImageContent(data="?", mime_type="image/png"),
            Text(text="(image, image/png: the server sent data that cannot be decoded)"),
        ),
    ],
)
def test_each_kind_of_content_has_a_form_the_model_reads(block: ContentBlock, part: Part) -> None:
    assert tool_output(CallToolResult(content=[block])) == ToolOutput(content=(part,), untrusted=True)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"structured_content": {"ä": 1}}, ToolOutput(content=(Text(text='{"ä": 1}'),), untrusted=True)),
        ({"structured_content": 0}, ToolOutput(content=(Text(text="0"),), untrusted=True)),
        ({}, ToolOutput(content=(), untrusted=True)),
        ({"is_error": True}, ToolOutput(content=(), is_error=True, untrusted=True)),
    ],
)
def test_structured_content_counts_when_there_is_nothing_else(fields: dict[str, Any], output: ToolOutput) -> None:
    assert tool_output(CallToolResult(content=[], **fields)) == output


def test_what_is_meant_for_the_user_alone_is_named_as_such() -> None:
    user, both = Annotations(audience=["user"]), Annotations(audience=["user", "assistant"], priority=0.1)
    picture = Image(data=b"data", media_type="image/png")
    blocks: list[ContentBlock] = [
        TextContent(text="done", annotations=user),
        ImageContent(data=DATA, mime_type="image/png", annotations=user),
        TextContent(text="done", annotations=both),
    ]
    words, image, *rest = tool_output(CallToolResult(content=blocks)).content[1:]
    assert (image, rest) == (picture, [Text(text="done")])
    assert isinstance(words, Text)
    assert tool_output(CallToolResult(content=blocks[:1])).content == (Text(text=f"{words.text}\ndone"),)


PROMISE = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({"structured_content": {"n": 3}}, 0),
        ({"structured_content": {"n": "secret"}}, 1),
        ({}, 1),
        ({"is_error": True}, 0),
    ],
)
async def test_a_result_is_kept_that_does_not_fit_the_schema_the_tool_promised_and_reported_once(
    fields: dict[str, Any], reported: int
) -> None:
    answer = CallToolResult(content=[TextContent(text="three")], **fields)
    async with MCPServer(listing_server([tool("count", output_schema=PROMISE)], answer=answer)) as server:
        for _ in range(2):
            assert await ask(server, "count") == "three"
        notes = server.health().notes
    assert len(notes) == reported
    assert "secret" not in str(notes)


@pytest.mark.anyio
async def test_a_tool_that_wants_to_ask_the_user_fails_in_words_for_the_model() -> None:
    question = ElicitRequest(
        params=ElicitRequestFormParams(message="Sure?", requested_schema={"type": "object", "properties": {}})
    )
    answer = InputRequiredResult(input_requests={"sure": question})
    async with MCPServer(listing_server([tool("delete")], answer=answer)) as server:
        with pytest.raises(ToolError):
            await server.call("delete", {}, context())

"""A server for the protocol's official conformance suite: the tools that it asks for by name.

`python -m tests.integrations.serving.conformance_server PORT`, and then, with Node 22,
`conformance server --url http://localhost:PORT/mcp --scenario tools-call-image --spec-version 2025-11-25`.
"""

import json
import sys
from base64 import b64encode
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import uvicorn
from mcp import MCPError
from mcp.server import Server
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from assistant_kit.errors import ToolError
from assistant_kit.integrations.serving import ServingSettings, tool_server
from assistant_kit.messages import File, Image, JsonObject, Part, Text
from assistant_kit.protocols.toolset import Offering, ToolContext, ToolOutput
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import FunctionTools, tool
from tests.integrations.serving.asking_tools import ASKING
from tests.toolsets.mcp.servers.tool_server import PNG

WAV = bytes.fromhex(
    "524946462400000057415645666d74201000000001000100"  # mono, 44,100 Hz, 16 bits, and no sound
    "44ac000088580100020010006461746100000000"
)
PICTURE = Image(data=PNG, media_type="image/png")
RESOURCE = File(data=b"This is an embedded resource.", media_type="text/plain", filename="embedded.txt")
ADDRESS: JsonObject = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}
SCHEMA: JsonObject = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": ADDRESS},
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADERS: JsonObject = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
        "verbose": {"type": "boolean", "x-mcp-header": "Verbose"},
        "query": {"type": "string"},
    },
}


@tool
def test_simple_text() -> str:
    """Answer with a text."""
    return "This is a simple text response for testing."


@tool
def test_image_content() -> Image:
    """Answer with a picture."""
    return PICTURE


@tool
def test_audio_content() -> File:
    """Answer with a sound."""
    return File(data=WAV, media_type="audio/wav")


@tool
def test_embedded_resource() -> File:
    """Answer with a resource."""
    return RESOURCE


@tool
def test_multiple_content_types() -> list[Part]:
    """Answer with several kinds of content."""
    return [Text(text="Multiple content types test:"), PICTURE, RESOURCE]


@tool
def test_error_handling() -> str:
    """Report an error."""
    raise ToolError("This tool intentionally returns an error for testing")


@tool
async def test_tool_with_progress(context: ToolContext) -> str:
    """Report progress on the way."""
    for done in (0, 50, 100):
        context.report_progress(done, 100)
        await anyio.sleep(0.15)  # reports that follow within a tenth of a second are dropped
    return "done"


class Schemas:
    """Tools whose schemas are written by hand."""

    name = "schemas"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def tools(self) -> Sequence[ToolSpec]:
        return SPECS

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        return ToolOutput(content=(Text(text=f"{name} of {context.user}: {arguments}"),))


SPECS = (
    ToolSpec(name="json_schema_2020_12_tool", description="Takes what a hard schema allows.", parameters=SCHEMA),
    ToolSpec(name="test_headers", description="Takes arguments that are headers, too.", parameters=HEADERS),
)


class Changing(FunctionTools):
    """A tool that changes the list of tools whenever it is called."""

    deferred = False

    def __init__(self) -> None:
        super().__init__([self.test_trigger_tool_change])
        self.more: tuple[ToolSpec, ...] = ()

    def test_trigger_tool_change(self) -> str:
        """Change the list of tools."""
        self.more = (
            ()
            if self.more
            else (ToolSpec(name="test_more", description="Is there or not.", parameters={"type": "object"}),)
        )
        return f"{len(self.more)} more"

    async def tools_for(self, user: str | None) -> Offering:
        del user
        return Offering(tools=(*await self.tools(), *self.more))


TOOLS: list[Any] = [
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_progress,
    Schemas(),
    Changing(),
    *ASKING,
]

PNG_TEXT = b64encode(PNG).decode()
RESOURCES: dict[str, TextResourceContents | BlobResourceContents] = {
    "test://static-text": TextResourceContents(
        uri="test://static-text", mime_type="text/plain", text="This is the content of the static text resource."
    ),
    "test://static-binary": BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG_TEXT),
}
PROMPTS = [
    Prompt(name="test_simple_prompt", description="A prompt."),
    Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with arguments.",
        arguments=[PromptArgument(name="arg1", required=True), PromptArgument(name="arg2", required=True)],
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with a resource.",
        arguments=[PromptArgument(name="resourceUri", required=True)],
    ),
    Prompt(name="test_prompt_with_image", description="A prompt with a picture."),
    Prompt(name="test_input_required_result_prompt", description="A prompt that asks first."),
]
CONTEXT = ElicitRequest(
    params=ElicitRequestFormParams(
        message="What context should the prompt use?",
        requested_schema={
            "type": "object",
            "properties": {"context": {"type": "string"}},
            "required": ["context"],
        },
    )
)


async def list_resources(_: Any, __: PaginatedRequestParams | None) -> ListResourcesResult:
    return ListResourcesResult(
        resources=[Resource(uri=uri, name=uri, mime_type=each.mime_type) for uri, each in RESOURCES.items()]
    )


async def list_templates(_: Any, __: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    template = ResourceTemplate(uri_template="test://template/{id}/data", name="template", mime_type="application/json")
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_: Any, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = str(params.uri)
    found = RESOURCES.get(uri)
    if found is None and uri.startswith("test://template/"):
        text = json.dumps({"id": uri.split("/")[3], "templateTest": True})
        found = TextResourceContents(uri=uri, mime_type="application/json", text=text)
    if found is None:
        raise MCPError(INVALID_PARAMS, "there is no such resource", {"uri": uri})
    return ReadResourceResult(contents=[found])


async def subscribe(_: Any, __: SubscribeRequestParams | UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def list_prompts(_: Any, __: PaginatedRequestParams | None) -> ListPromptsResult:
    return ListPromptsResult(prompts=PROMPTS)


async def get_prompt(_: Any, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    answer = (params.input_responses or {}).get("user_context")
    if params.name == "test_input_required_result_prompt" and not isinstance(answer, ElicitResult):
        return InputRequiredResult(input_requests={"user_context": CONTEXT}, request_state="asked")
    said: list[ContentBlock] = [TextContent(text="This is a simple prompt for testing.")]
    if params.name == "test_prompt_with_arguments":
        said = [TextContent(text=f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
    elif params.name == "test_prompt_with_embedded_resource":
        text = TextResourceContents(
            uri=given["resourceUri"], mime_type="text/plain", text="Embedded resource content for testing."
        )
        said = [EmbeddedResource(resource=text), TextContent(text="Please process the embedded resource above.")]
    elif params.name == "test_prompt_with_image":
        said = [ImageContent(data=PNG_TEXT, mime_type="image/png"), TextContent(text="Please look at the picture.")]
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in said])


async def complete(_: Any, __: CompleteRequestParams) -> CompleteResult:
    return CompleteResult(completion=Completion(values=["paris", "park"], total=2, has_more=False))


def extend(server: Server[Any]) -> None:
    """Add what the suite asks for beside tools, with the SDK."""
    server.add_request_handler("resources/list", PaginatedRequestParams, list_resources)
    server.add_request_handler("resources/templates/list", PaginatedRequestParams, list_templates)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read_resource)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, subscribe)
    server.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)
    server.add_request_handler("prompts/get", GetPromptRequestParams, get_prompt)
    server.add_request_handler("completion/complete", CompleteRequestParams, complete)


if __name__ == "__main__":
    app = tool_server(TOOLS, name="conformance", settings=ServingSettings(extend=extend, changes_every=0.1))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", ws="none")

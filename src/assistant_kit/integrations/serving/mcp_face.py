"""A desk as an MCP server of the official SDK, which speaks both generations of the protocol."""

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias
from urllib.parse import quote
from uuid import uuid4

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    AudioContent,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    ResourceLink,
    TextContent,
    Tool,
    ToolAnnotations,
)

from assistant_kit.errors import AssistantKitError
from assistant_kit.events import Event, ToolProgress
from assistant_kit.integrations.serving.desk import Desk, Found
from assistant_kit.integrations.serving.outcomes import Outcome, Request
from assistant_kit.messages import File, Image, Part, Text, text_of

_log = logging.getLogger("assistant_kit.serving")
IDEMPOTENCY_KEY: Final = "assistant-kit/idempotency-key"
"""Where a client puts, in the `_meta` of a call, what stays the same when the call is repeated."""
_BACKLOG = 64  # reports of progress that wait to be sent; further ones are dropped
_LAST_WORDS = 1.0  # seconds for reports that wait when the call has ended

Context: TypeAlias = ServerRequestContext[Any, Any]
UserOf: TypeAlias = Callable[[Context], str | None]
"""Tells for whom a request is made: from the connection, never from what the model wrote."""


def mcp_face(desk: Desk, *, name: str, version: str, instructions: str | None, user_of: UserOf) -> Server[Any]:
    """Return a server of the SDK that offers the tools of a desk."""

    async def list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        try:
            found = await desk.tools(user_of(context))
        except AssistantKitError as error:
            _log.exception("the tools cannot be listed")
            raise MCPError(INTERNAL_ERROR, "the tools cannot be listed at present") from error
        return ListToolsResult(tools=[_described(each) for each in found.values()])

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        send, receive = anyio.create_memory_object_stream[ToolProgress](_BACKLOG)

        def emit(event: Event) -> None:
            assert isinstance(event, ToolProgress)  # noqa: S101  (calls tell of nothing else)
            with suppress(anyio.WouldBlock):
                send.send_nowait(event)

        request = Request(
            tool=params.name,
            arguments=params.arguments or {},
            call_id=uuid4().hex,
            user=user_of(context),
            key=_key(context.meta),
            emit=emit,
        )
        outcome: Outcome | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_forward, receive, context.session)
            with send:
                outcome = await desk.call(request)
            tasks.cancel_scope.deadline = anyio.current_time() + _LAST_WORDS
        assert outcome is not None  # noqa: S101  (the call has returned, or cancellation has passed by here)
        return _result(outcome)

    return Server(
        name,
        version=version,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=desk.schema,
    )


async def _forward(reports: MemoryObjectReceiveStream[ToolProgress], session: ServerSession) -> None:
    with reports:
        async for report in reports:
            await session.report_progress(report.progress, report.total, report.message)


def _key(meta: Mapping[str, Any] | None) -> str | None:
    key = None if meta is None else meta.get(IDEMPOTENCY_KEY)
    return key if isinstance(key, str) and key else None


def _described(found: Found) -> Tool:
    spec = found.spec
    annotations = ToolAnnotations(read_only_hint=spec.effect == "read", idempotent_hint=found.idempotent)
    return Tool(
        name=spec.name,
        description=spec.description,
        input_schema=dict(spec.parameters),
        annotations=annotations,
    )


def _result(outcome: Outcome) -> CallToolResult:
    if outcome.problem == "unknown_tool":
        raise MCPError(INVALID_PARAMS, text_of(outcome.content))
    return CallToolResult(content=[_block(part) for part in outcome.content], is_error=outcome.problem is not None)


def _block(part: Part) -> ContentBlock:
    match part:
        case Text():
            return TextContent(text=part.text)
        case Image(data=bytes() as data):
            return ImageContent(data=b64encode(data).decode(), mime_type=part.media_type or "image/png")
        case File(data=bytes() as data) if (part.media_type or "").startswith("audio/"):
            return AudioContent(data=b64encode(data).decode(), mime_type=str(part.media_type))
        case File(data=bytes() as data):
            uri = f"file:///{quote(part.filename or 'file')}"
            blob = BlobResourceContents(uri=uri, blob=b64encode(data).decode(), mime_type=part.media_type)
            return EmbeddedResource(resource=blob)
        case _:
            name = (part.filename if isinstance(part, File) else None) or part.kind
            return ResourceLink(uri=part.url or "", name=name, mime_type=part.media_type)

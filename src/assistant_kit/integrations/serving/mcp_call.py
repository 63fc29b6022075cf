"""One call of a tool over MCP: what its caller is told and asked on the way, and the answer."""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    LOG_LEVEL_META_KEY,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    InputRequiredResult,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    ResourceLink,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from assistant_kit.events import Event, ToolProgress
from assistant_kit.integrations.serving.call_log import LEVELS, CallLog, Levels, LogLine
from assistant_kit.integrations.serving.desk import Desk
from assistant_kit.integrations.serving.outcomes import Outcome, Request
from assistant_kit.integrations.serving.questions import NEEDED, media_block
from assistant_kit.integrations.serving.rounds import Round, known
from assistant_kit.integrations.serving.session_caller import SessionCaller
from assistant_kit.messages import File, Image, Part, text_of
from assistant_kit.protocols.caller import Level

_BACKLOG: Final = 64  # reports of progress and lines of the log that wait to be sent; further ones are dropped
_LAST_WORDS: Final = 1.0  # seconds for those that wait when the call has ended
_SESSION: Final = "mcp-session-id"  # the header of streamable HTTP that names a session

Context: TypeAlias = ServerRequestContext[Any, Any]
News: TypeAlias = ToolProgress | LogLine


async def answered(
    desk: Desk, request: Request, context: Context, params: CallToolRequestParams, levels: Levels
) -> CallToolResult | InputRequiredResult:
    """Make a call, and tell its caller what comes on the way. Raises MCPError."""
    send, receive = anyio.create_memory_object_stream[News](_BACKLOG)

    def tell(news: Event | LogLine) -> None:
        assert isinstance(news, ToolProgress | LogLine)  # noqa: S101  (calls tell of nothing else)
        with suppress(anyio.WouldBlock):
            send.send_nowait(news)

    def wanted() -> Level | None:
        return _asked_for(context.meta) if _is_new(context) else levels.of(session_of(context))

    log = CallLog(tell, wanted)
    caller = _caller_of(context, params, log)
    outcome: Outcome | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_forward, receive, context)
        with send, closing(log), closing(caller):
            outcome = await desk.call(replace(request, emit=tell, caller=caller))
        tasks.cancel_scope.deadline = anyio.current_time() + _LAST_WORDS
    assert outcome is not None  # noqa: S101  (the call has returned, or cancellation has passed by here)
    if outcome.problem == "input_required" and isinstance(caller, Round):
        return caller.result()
    return _result(outcome)


def session_of(context: Context) -> str | None:
    """Return the name of the session in which a request is made: "" over pipes, None over HTTP without sessions."""
    request = context.request  # streamable HTTP hands its request on
    return "" if request is None else request.headers.get(_SESSION)


def _is_new(context: Context) -> bool:
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def _asked_for(meta: Mapping[str, Any] | None) -> Level | None:
    """Return the level that a request of the newer protocol asks for; without, it is told nothing."""
    level = None if meta is None else meta.get(LOG_LEVEL_META_KEY)
    return level if level in LEVELS else None


def _caller_of(context: Context, params: CallToolRequestParams, log: CallLog) -> Round | SessionCaller:
    if not _is_new(context):
        return SessionCaller(context.session, context.request_id, log)
    past = known(params.request_state, params.input_responses)
    return Round(known=past, capabilities=context.session.client_capabilities, log=log)


async def _forward(news: MemoryObjectReceiveStream[News], context: Context) -> None:
    session = context.session
    with news:
        async for each in news:
            if isinstance(each, ToolProgress):
                await session.report_progress(each.progress, each.total, each.message)
            else:
                line = LoggingMessageNotificationParams(level=each.level, data=each.data, logger=each.logger)
                await session.send_notification(LoggingMessageNotification(params=line), context.request_id)


def _result(outcome: Outcome) -> CallToolResult:
    if outcome.problem == "unknown_tool":
        raise MCPError(INVALID_PARAMS, text_of(outcome.content))
    if outcome.lacks is not None:
        data = {"requiredCapabilities": NEEDED[outcome.lacks]}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, text_of(outcome.content), data)
    return CallToolResult(content=[_block(part) for part in outcome.content], is_error=outcome.problem is not None)


def _block(part: Part) -> ContentBlock:
    media = media_block(part)
    if media is not None:
        return media
    match part:
        case File(data=bytes() as data):
            uri = f"file:///{quote(part.filename or 'file')}"
            blob = BlobResourceContents(uri=uri, blob=b64encode(data).decode(), mime_type=part.media_type)
            return EmbeddedResource(resource=blob)
        case File():
            return ResourceLink(uri=part.url or "", name=part.filename or part.kind, mime_type=part.media_type)
        case _:
            picture = cast("Image", part)  # one by its address: all else has been named above
            return ResourceLink(uri=picture.url or "", name=picture.kind, mime_type=picture.media_type)

"""A desk as an MCP server of the official SDK, which speaks both generations of the protocol."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

from mcp import MCPError
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    EmptyResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    SetLevelRequestParams,
    Tool,
    ToolAnnotations,
)

from assistant_kit.errors import AssistantKitError, ConfigurationError
from assistant_kit.integrations.serving.call_log import Levels
from assistant_kit.integrations.serving.desk import Desk, Found
from assistant_kit.integrations.serving.list_changes import ListChanges, TellingServer
from assistant_kit.integrations.serving.mcp_call import Context, answered, session_of
from assistant_kit.integrations.serving.outcomes import Request

_log = logging.getLogger("assistant_kit.serving")
IDEMPOTENCY_KEY: Final = "assistant-kit/idempotency-key"
"""Where a client puts, in the `_meta` of a call, what stays the same when the call is repeated."""
_STATE_LIVES: Final = 3600.0  # seconds in which a caller may answer, in the newer protocol

UserOf: TypeAlias = Callable[[Context], str | None]
"""Tells for whom a request is made: from the connection, never from what the model wrote."""


def mcp_face(
    desk: Desk,
    *,
    name: str,
    version: str,
    instructions: str | None,
    user_of: UserOf,
    state_keys: Sequence[bytes] = (),
    changes_every: float | None = None,
    sessions: bool = True,
) -> Server[Any]:
    """Return a server of the SDK that offers the tools of a desk; `state_keys` seal what callers bring back.

    Every `changes_every` seconds it is looked whether there are other tools. `sessions`: whether clients of the older
    protocol have one. Raises ConfigurationError for keys that are short.
    """
    levels = Levels()

    async def list_tools(context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=await _listed(desk, user_of(context)))

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        request = Request(
            tool=params.name,
            arguments=params.arguments or {},
            call_id=uuid4().hex,
            user=user_of(context),
            key=_key(context.meta),
        )
        return await answered(desk, request, context, params, levels)

    async def set_level(context: Context, params: SetLevelRequestParams) -> EmptyResult:
        levels.set(session_of(context), params.level)
        return EmptyResult()

    face = TellingServer(
        name,
        version=version,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=desk.schema,
    )
    # Not as an argument above, where it warns: the newer protocol has no such request.
    face.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    if changes_every is not None and desk.varies:
        face.tell(ListChanges(desk, user_of, every=changes_every), sessions=sessions)
    face.middleware.append(_sealing(state_keys, name, user_of))
    return face


async def _listed(desk: Desk, user: str | None) -> list[Tool]:
    """Describe the tools on offer to a user. Raises MCPError, in words that hold no secret."""
    try:
        return [_described(found) for found in (await desk.tools(user)).values()]
    except AssistantKitError as error:
        _log.exception("the tools cannot be listed")
        raise MCPError(INTERNAL_ERROR, "the tools cannot be listed at present") from error


def _sealing(keys: Sequence[bytes], name: str, user_of: UserOf) -> RequestStateBoundary:
    """Return what seals, for a user and a call, what travels with a caller from round to round."""
    try:
        security = RequestStateSecurity(keys=keys or [os.urandom(32)], ttl=_STATE_LIVES, bind_principal=user_of)
    except ValueError as error:
        raise ConfigurationError("state_keys: each is 32 bytes of secret randomness at least, and other") from error
    return RequestStateBoundary(security, default_audience=name)


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

"""A call whose server asks for input before it answers, and is called again with what it asked for (2026-07-28)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext
from mcp.types import (
    URL_ELICITATION_REQUIRED,
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
    InputRequest,
    InputRequiredResult,
    InputResponse,
    InputResponses,
)
from pydantic import BaseModel, ValidationError

from assistant_kit.errors import ToolError
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.mcp.asker import serving

ROUNDS = 10
PAUSE = 0.1  # seconds, before a server is called again that only wants to be called again

T = TypeVar("T")


class _Pages(BaseModel):
    elicitations: list[ElicitRequestURLParams]


async def with_input(
    client: Client,
    params: CallToolRequestParams,
    context: ToolContext,
    send: Callable[[CallToolRequestParams], Awaitable[T | InputRequiredResult]],
) -> T:
    """Send a call, and again with what the application answers, until the server has what it needs.

    Raises ToolError when the application does not answer, or the server does not come to an end; what `send` raises.
    """
    for _ in range(ROUNDS):
        try:
            answer = await send(params)
        except MCPError as error:
            pages = _pages(error)
            if not pages:
                raise
            raise await _after_pages(client, params.name, pages, context) from error
        if not isinstance(answer, InputRequiredResult):
            return answer
        responses = await _responses(client, params.name, answer, context)
        params = params.model_copy(update={"input_responses": responses, "request_state": answer.request_state})
    raise ToolError(f"{params.name} asks for input again and again")


async def _responses(
    client: Client, name: str, answer: InputRequiredResult, context: ToolContext
) -> InputResponses | None:
    if not answer.input_requests:
        await anyio.sleep(PAUSE)
        return None
    return {key: await _asked(client, name, key, one, context) for key, one in answer.input_requests.items()}


async def _asked(client: Client, name: str, key: str, request: InputRequest, context: ToolContext) -> InputResponse:
    """Let the application answer one request. Raises ToolError when it does not."""
    meta = request.params.meta if request.params else None
    token = serving.set(context)
    try:
        asked = ClientRequestContext(session=client.session, request_id=key, meta=meta)
        response = await client.session.dispatch_input_request(asked, request)
    finally:
        serving.reset(token)
    if isinstance(response, ErrorData):
        raise ToolError(f"{name} asks for input that this application does not give")
    return response


def _pages(error: MCPError) -> Sequence[ElicitRequestURLParams]:
    """Return the pages that a person has to go to before a call can be made (2025-11-25)."""
    if error.code != URL_ELICITATION_REQUIRED:
        return ()
    try:
        return _Pages.model_validate(error.data).elicitations
    except ValidationError:
        return ()


async def _after_pages(
    client: Client, name: str, pages: Sequence[ElicitRequestURLParams], context: ToolContext
) -> ToolError:
    """Have the pages opened, and say what to do: nobody knows here when the person has done what is asked there."""
    for number, page in enumerate(pages):
        reply = await _asked(client, name, str(number), ElicitRequest(params=page), context)
        if not isinstance(reply, ElicitResult) or reply.action != "accept":
            return ToolError(f"{name} was not run: the user has not opened the page that it needs")
    return ToolError(f"{name} was not run: the user is at a page that it needs; call it again when they have finished")

"""An HTTP client for MCP, in which a failing request fails alone.

In SDK 2.3 an `httpx2.TransportError` cancels the task that called, and of a status that reports an error the number
and the body are lost (reference/mcp.md, defects 1, 2 and 8). This client makes both an answer for the one caller.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx2
from mcp.types import ErrorData, JSONRPCError

from assistant_kit.toolsets.mcp.delivery import undelivered

# Not bounded: the wait for an answer. A slow tool is bounded by the timeout of its call.
TIMEOUT = httpx2.Timeout(30.0, read=None)
EXCERPT = 300  # characters of an error page
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_MAY_HAVE_RUN = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


class ContainedClient(httpx2.AsyncClient):
    """An HTTP client whose POST requests always get a response, if need be one that it makes itself."""

    def __init__(self, headers: Mapping[str, str] | None) -> None:
        super().__init__(headers=headers, timeout=TIMEOUT)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; what fails comes back as a response that holds a JSON-RPC error."""
        if request.method != "POST":  # the streams of the server's own messages: the SDK bears their failure
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
            if response.is_error or _is_json(response):
                await response.aread()  # here, where it can still be told that the connection broke
        except httpx2.TransportError as error:
            problem = f"{type(error).__name__} at {_place(request)}: {error}".rstrip(": ")
            return _answer(request, undelivered(problem, may_have_run=not isinstance(error, _NOT_SENT)))
        if response.is_error:
            return await _with_reason(request, response)
        return response


async def _with_reason(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Return the server's own JSON-RPC error, or one that tells the status and the begin of the body."""
    status = response.status_code
    session_lost = status == HTTPStatus.NOT_FOUND and "mcp-session-id" in request.headers
    if not session_lost and _is_json(response) and b'"jsonrpc"' in response.content:
        return response
    await response.aclose()
    body = " ".join(response.text.split())[:EXCERPT]
    problem = f"HTTP {status} {response.reason_phrase} from {_place(request)}: {body}".rstrip(": ")
    error = undelivered(problem, may_have_run=status in _MAY_HAVE_RUN, reconnect=session_lost)
    return _answer(request, error, status=status)


def _answer(
    request: httpx2.Request, error: ErrorData, *, status: int = HTTPStatus.SERVICE_UNAVAILABLE
) -> httpx2.Response:
    message = JSONRPCError(jsonrpc="2.0", id=None, error=error)
    return httpx2.Response(status, json=message.model_dump(mode="json"), request=request)


def _is_json(response: httpx2.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.lower().startswith("application/json")


def _place(request: httpx2.Request) -> str:
    return str(request.url.copy_with(userinfo=b"", query=None, fragment=None))  # neither may reach an error

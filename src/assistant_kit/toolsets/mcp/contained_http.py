"""An HTTP client for MCP, in which a failing request fails alone.

In SDK 2.3 an `httpx2.TransportError` cancels the task that called, and of a status that reports an error the number
and the body are lost (reference/mcp.md, defects 1, 2 and 8). This client makes both an answer for the one caller.
"""

import ssl
from collections.abc import Collection, Mapping
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any

import httpx2
from mcp.types import ErrorData, JSONRPCError

from assistant_kit.errors import AssistantKitError
from assistant_kit.toolsets._public_only import PublicOnly
from assistant_kit.toolsets._tls import context_of
from assistant_kit.toolsets.mcp.delivery import undelivered

# Not bounded: the wait for an answer. A slow tool is bounded by the timeout of its call.
TIMEOUT = httpx2.Timeout(30.0, read=None)
EXCERPT = 300  # characters of an error page
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
IN_SESSION = "assistant_kit.in_session"
"""An extension of requests that belong to a session without a header that says so."""
_MAY_HAVE_RUN = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


class ContainedClient(httpx2.AsyncClient):
    """An HTTP client whose POST requests always get a response, if need be one that it makes itself.

    Hosts that are not in `trusted`, which others have named (the authorization server of an MCP server, say), are
    reached at public addresses only, unless `trusted` is None, and `tls` is not for them: neither its authorities nor
    its certificate. It is for `host`, the server's own, and for those in `trusted`. A proxy of the environment looks up
    names itself: what goes through it is not looked at.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None,
        *,
        auth: httpx2.Auth | None = None,
        trusted: Collection[str] | None = None,
        host: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        usual = context_of()
        tls = tls or usual
        super().__init__(headers=headers, auth=auth, timeout=TIMEOUT, verify=tls)
        self._trusted = trusted
        self._host = host
        self._own_guard = PublicOnly(partial(httpx2.AsyncHTTPTransport, verify=tls))
        self._guard = PublicOnly(partial(httpx2.AsyncHTTPTransport, verify=usual))

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; what fails comes back as a response that holds a JSON-RPC error."""
        if request.method != "POST":  # the streams of the server's own messages: the SDK bears their failure
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
            if response.is_error or _is_json(response):
                await response.aread()  # here, where it can still be told that the connection broke
        except AssistantKitError as error:  # of the authentication: the server has not taken the request
            return _answer(request, undelivered(str(error), may_have_run=False))
        except httpx2.TransportError as error:
            return _answer(request, unreachable(request, error))
        if response.is_error:
            return await _with_reason(request, response)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._close_guards()
        await super().aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close all connections."""
        await self._close_guards()
        await super().__aexit__(exc_type, exc_value, traceback)

    async def _close_guards(self) -> None:
        await self._own_guard.aclose()
        await self._guard.aclose()

    # Not public in httpx2, and the one place where it is known whether a request goes through a proxy.
    def _transport_for_url(self, url: httpx2.URL) -> httpx2.AsyncBaseTransport:
        found = super()._transport_for_url(url)
        if found is not self._transport or self._trusted is None or url.host in self._trusted:
            return found
        return self._own_guard if url.host == self._host else self._guard


async def _with_reason(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Return the server's own JSON-RPC error, or one that tells the status and the begin of the body."""
    in_session = "mcp-session-id" in request.headers or IN_SESSION in request.extensions
    session_lost = in_session and _knows_no_session(response)
    if not session_lost and _is_json(response) and b'"jsonrpc"' in response.content:
        return response
    await response.aclose()
    return _answer(request, refusal(response, reconnect=session_lost), status=response.status_code)


def _knows_no_session(response: httpx2.Response) -> bool:
    """Whether a server has refused a request for its session: by 404, or in words, as servers on Node do."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        return True
    return response.status_code == HTTPStatus.BAD_REQUEST and b"session" in response.content.lower()


def refusal(response: httpx2.Response, *, reconnect: bool = False) -> ErrorData:
    """Tell of a response that is none of the protocol: its status, and the begin of the body that was read."""
    status, request = response.status_code, response.request
    body = " ".join(response.text.split())[:EXCERPT]
    problem = f"HTTP {status} {response.reason_phrase} from {_place(request)}: {body}".rstrip(": ")
    return undelivered(problem, may_have_run=status in _MAY_HAVE_RUN, reconnect=reconnect, status=status)


def unreachable(request: httpx2.Request, error: httpx2.TransportError) -> ErrorData:
    """Tell of a request that got no response."""
    problem = f"{type(error).__name__} at {_place(request)}: {error}".rstrip(": ")
    return undelivered(problem, may_have_run=not isinstance(error, _NOT_SENT))


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

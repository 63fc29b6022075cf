"""What every HTTP request passes before it is served: host and origin, who asks, and its size."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import (
    RequestBodyLimitMiddleware,
    TransportSecurityMiddleware,
    TransportSecuritySettings,
)
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger("assistant_kit.serving")

Authenticate: TypeAlias = Callable[[HTTPConnection], Awaitable[str | None]]
"""Tells from the headers of a request who asks; None refuses it."""

LOOPBACK = ("127.0.0.1:*", "localhost:*", "[::1]:*", "127.0.0.1", "localhost", "[::1]")
"""Hosts, with any port or none, that only this machine reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a request has to meet.

    `hosts` are the names under which the server is reached, `origins` the pages whose scripts may ask; `name:*` is a
    name with any port. `open_path` needs no user. `challenge` goes with a refusal, as `WWW-Authenticate`. `max_bytes`
    bounds the body.
    """

    authenticate: Authenticate | None
    hosts: Sequence[str]
    origins: Sequence[str]
    open_path: str
    challenge: str
    max_bytes: int


class Gate:
    """Lets requests through to an ASGI application, or answers them itself."""

    def __init__(self, app: ASGIApp, terms: Terms) -> None:
        """Stand before `app`."""
        self._app = RequestBodyLimitMiddleware(app, terms.max_bytes)
        self._terms = terms
        self._security = TransportSecurityMiddleware(
            TransportSecuritySettings(allowed_hosts=list(terms.hosts), allowed_origins=list(terms.origins))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or say why not."""
        if scope["type"] == "http":
            refusal = await self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        request = Request(scope)
        refused = await self._security.validate_request(request, is_post=scope["method"] == "POST")
        if refused is not None or self._terms.authenticate is None:
            return refused
        try:
            user = await self._terms.authenticate(request)
        except Exception:  # noqa: BLE001  (a check that fails lets nobody in; its text may hold a secret)
            _log.exception("authenticate= has failed")
            return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "who asks cannot be found out")
        if user is not None:
            scope["user"] = _known(user)
        elif scope["path"].removeprefix(scope.get("root_path", "")) != self._terms.open_path:
            refusal = _refused(HTTPStatus.UNAUTHORIZED, "unauthorized", "say who you are")
            refusal.headers["www-authenticate"] = self._terms.challenge
            return refusal
        return None


def user_of(connection: HTTPConnection) -> str | None:
    """Return who asks, as the gate has found out; None when it lets anybody in."""
    user = connection.scope.get("user")
    return user.username if isinstance(user, AuthenticatedUser) else None


def _known(user: str) -> AuthenticatedUser:
    """Return a user in the form by which the SDK binds a session of the old protocol to whoever began it."""
    return AuthenticatedUser(AccessToken(token="", client_id=user, scopes=[], subject=user))


def _refused(status: HTTPStatus, kind: str, words: str) -> Response:
    error = {"type": kind, "message": words, "retryable": False}
    return JSONResponse({"ok": False, "error": error}, status_code=status)

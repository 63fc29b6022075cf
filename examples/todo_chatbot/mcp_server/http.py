"""The door for clients elsewhere: streamable HTTP, with the access tokens of the app."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from anyio import to_thread
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.types import Receive, Scope, Send

from examples.todo_chatbot.auth.tokens import AUDIENCE, AccessTokens
from examples.todo_chatbot.mcp_server.config import LOCAL_HOSTS, as_the_token_says
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.errors import Unauthorized
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService

_SCHEMES = ("http", "https")
_BODY = 64 * 1024  # bytes of a request: a task is far smaller


class HTTPDoor:
    """An ASGI application for one path, `/mcp`; enter it as long as it serves.

    It keeps nothing between requests, so that any process may answer any of them. `hosts` are the names by which it
    is reached, `name:*` for any port: a page in a browser that comes by another one (DNS rebinding) is refused.
    """

    def __init__(
        self, tasks: TaskService, users: UserService, tokens: AccessTokens, *, hosts: Sequence[str] = LOCAL_HOSTS
    ) -> None:
        """Take what the tools call, and what tells whose a token is."""
        security = TransportSecuritySettings(
            allowed_hosts=list(hosts), allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in _SCHEMES]
        )
        server = make_server(tasks, as_the_token_says)
        server.streamable_http_app(stateless_http=True, transport_security=security, max_request_body_size=_BODY)
        self._sessions = server.session_manager
        self._app = AuthenticationMiddleware(
            RequireAuthMiddleware(self._sessions.handle_request, required_scopes=[]),
            backend=BearerAuthBackend(_Verifier(users, tokens)),
        )
        self._stack = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: 401 with WWW-Authenticate where it has no valid access token."""
        await self._app(scope, receive, send)

    async def __aenter__(self) -> Self:
        """Begin to serve; once."""
        await self._stack.enter_async_context(self._sessions.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is being answered."""
        await self._stack.__aexit__(kind, error, trace)


class _Verifier:
    """Tells the SDK whose an access token is."""

    def __init__(self, users: UserService, tokens: AccessTokens) -> None:
        self._users = users
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            user = self._tokens.user_of(token)
        except Unauthorized:
            return None
        if not await to_thread.run_sync(self._users.exists, user):
            return None
        return AccessToken(token=token, client_id=AUDIENCE, scopes=[], subject=str(user))

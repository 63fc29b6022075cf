"""Whose tasks a call is about: each door of the server knows it from the connection, never from the arguments."""

from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import UUID

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.mcpserver import Context
from starlette.requests import Request

from examples.todo_chatbot.services.errors import Unauthorized

NAME = "todo"
PATH = "/mcp"
USER = "todo/user"
"""Where our own client says in the `_meta` of a call who the user is."""
IDEMPOTENCY_KEY = "assistant-kit/idempotency-key"
"""What stays the same in the `_meta` of a call when it is repeated."""
LOCAL_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")

Call: TypeAlias = Context[Any, Any]
UserOf: TypeAlias = Callable[[Call], UUID]
"""Tells whose tasks a call is about. Raises Unauthorized."""


def always(user: UUID) -> UserOf:
    """Tell the one user of a process: standard input and output have one client."""
    return lambda _: user


def as_the_client_says(call: Call) -> UUID:
    """Tell the user that the client names: to be believed in this process only, where nobody else is a client."""
    try:
        return UUID(str(_meta(call).get(USER)))
    except ValueError as error:
        raise Unauthorized("the call does not say whose tasks it is about") from error


def as_the_token_says(call: Call) -> UUID:
    """Tell the user whose token came with the HTTP request."""
    request = call.request_context.request
    user = request.scope.get("user") if isinstance(request, Request) else None
    if not isinstance(user, AuthenticatedUser):
        raise Unauthorized("the call came without an access token")
    return UUID(user.access_token.subject)


def request_key(call: Call) -> str | None:
    """Return the idempotency key of a call, if it has one."""
    key = _meta(call).get(IDEMPOTENCY_KEY)
    return key if isinstance(key, str) else None


def _meta(call: Call) -> dict[str, Any]:
    return dict(call.request_context.meta or {})

"""The tool servers as toolsets: found by configuration, reached for each user with a token of their own."""

import ssl
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final, Protocol

import httpx2

from assistant_kit import HTTPTools, MCPServer, keyed
from assistant_kit.protocols.toolset import PerUserToolset, Toolset, ToolsetHealth
from assistant_kit.tool_spec import Effect
from examples.flask_demo.orchestrator.settings import ToolPlace
from examples.flask_demo.service_tokens import KeyRing
from examples.flask_demo.tracing import outgoing_headers

AUDIENCE: Final = "tools"
NEEDS_APPROVAL: Final = ("delete_note",)
EFFECTS: Final[Mapping[str, Effect]] = {"create_note": keyed(86_400.0), "append_to_note": keyed(86_400.0)}
"""What annotations cannot say: that a server knows a repeated call by its key, for a day."""
_CONNECT: Final = 3.0  # seconds; a server that takes longer is one that is down
_CALL: Final = 30.0  # seconds
_LIST_COUNTS: Final = 60.0  # seconds
_CONNECTIONS: Final = 500  # of users, to a server of MCP


class ToolServer(Toolset, PerUserToolset, Protocol):
    """A tool server, whichever protocol it is asked by."""

    async def check(self, user: str | None = None) -> ToolsetHealth:
        """Ask the server how it is. Raises nothing."""
        ...


class UserToken(httpx2.Auth):
    """Signs each request for one user, and tells of which request of theirs it is part.

    A token counts for a minute, a connection for longer.
    """

    def __init__(self, issue: Callable[[], str]) -> None:
        """Take what makes a token."""
        self._issue = issue

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Put a new token on a request, and the ids of what is being done."""
        request.headers.update(outgoing_headers())
        request.headers["Authorization"] = f"Bearer {self._issue()}"
        yield request


class ToolTokens:
    """Makes the tokens by which tool servers know for whom they work."""

    def __init__(self, keys: KeyRing, issuer: str) -> None:
        """Take the keys of all orchestrators, and the name of the issuer."""
        self._keys = keys
        self._issuer = issuer

    def of(self, user: str | None) -> httpx2.Auth | None:
        """Return what signs requests for a user; nothing for nobody."""
        if user is None:
            return None
        return UserToken(lambda: self._keys.issue(user, issuer=self._issuer, audience=AUDIENCE))


def make_tool_servers(
    places: Mapping[str, ToolPlace], tokens: ToolTokens, tls: Callable[[], ssl.SSLContext] | None
) -> Sequence[ToolServer]:
    """Return a toolset for each server; one that is down is missing until it is back."""
    context = None if tls is None else tls()
    return tuple(
        _by_mcp(name, place, tokens, context) if place.protocol == "mcp" else _plainly(name, place, tokens, context)
        for name, place in places.items()
    )


def _plainly(name: str, place: ToolPlace, tokens: ToolTokens, context: ssl.SSLContext | None) -> ToolServer:
    return HTTPTools(
        place.url,
        name=name,
        auth=tokens.of,
        required=False,
        transport=httpx2.AsyncHTTPTransport(verify=context or True, trust_env=False),
        connect_timeout=_CONNECT,
        call_timeout=_CALL,
        ttl=_LIST_COUNTS,
        trust_annotations=True,  # the servers are ours
        effects=EFFECTS,
        needs_approval=NEEDS_APPROVAL,
    )


def _by_mcp(name: str, place: ToolPlace, tokens: ToolTokens, context: ssl.SSLContext | None) -> ToolServer:
    return MCPServer(
        place.url,
        name=name,
        auth=tokens.of,
        verify=context,
        transport="http",
        required=False,
        connect_timeout=_CONNECT,
        call_timeout=_CALL,
        max_connections=_CONNECTIONS,
        trust_annotations=True,
        effects=EFFECTS,
        needs_approval=NEEDS_APPROVAL,
    )

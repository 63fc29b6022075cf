"""The tool servers as toolsets: found by configuration, reached for each user with a token of their own."""

import ssl
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

import httpx2

from assistant_kit import HTTPTools, keyed
from assistant_kit.tool_spec import Effect
from examples.flask_demo.service_tokens import KeyRing
from examples.flask_demo.tracing import outgoing_headers

AUDIENCE: Final = "tools"
NEEDS_APPROVAL: Final = ("delete_note",)
EFFECTS: Final[Mapping[str, Effect]] = {"create_note": keyed(86_400.0), "append_to_note": keyed(86_400.0)}
"""What annotations cannot say: that a server knows a repeated call by its key, for a day."""
_CONNECT: Final = 3.0  # seconds; a server that takes longer is one that is down
_CALL: Final = 30.0  # seconds
_LIST_COUNTS: Final = 60.0  # seconds


class UserToken(httpx2.Auth):
    """Signs each request for one user; a token counts for a minute, a connection for longer."""

    def __init__(self, issue: Callable[[], str]) -> None:
        """Take what makes a token."""
        self._issue = issue

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Put a new token on a request."""
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
    servers: Mapping[str, str], tokens: ToolTokens, tls: Callable[[], ssl.SSLContext] | None
) -> Sequence[HTTPTools]:
    """Return a toolset for each server; one that is down is missing until it is back.

    They are asked by the plain contract: it takes a certificate of our own, and keeps no session for each user.
    """
    return tuple(
        HTTPTools(
            url,
            name=name,
            auth=tokens.of,
            headers=lambda _user: outgoing_headers(),
            required=False,
            transport=httpx2.AsyncHTTPTransport(verify=True if tls is None else tls(), trust_env=False),
            connect_timeout=_CONNECT,
            call_timeout=_CALL,
            ttl=_LIST_COUNTS,
            trust_annotations=True,  # the servers are ours
            effects=EFFECTS,
            needs_approval=NEEDS_APPROVAL,
        )
        for name, url in servers.items()
    )

"""How a person is asked for consent: what the application does, and what is made of the answer."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from mcp.client.auth import OAuthFlowError
from mcp.client.auth.utils import validate_authorization_response_iss
from mcp.shared.auth import OAuthMetadata

from assistant_kit.toolsets.mcp.oauth.discovery import Authority
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRequest:
    """What a person is asked: to open `url` in a browser. `state` comes back with the answer, and only with it.

    `server` is the URL of the MCP server that access is for, `scope` what it may do there (names apart by spaces).
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    server: str
    user: str | None
    scope: str | None


class Consent(Protocol):
    """Asks a person for consent."""

    @property
    def redirect_uri(self) -> str:
        """Where the authorization server sends the browser afterwards."""
        ...

    async def ask(self, request: ConsentRequest) -> str:
        """Let the person open the URL; return the whole URL that the browser was sent back to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Consent by two functions of an application, for one whose own pages get the browser back.

    `open_url` shows the person the link; `wait_for_code` waits for the request to `redirect_uri` whose `state` is that
    of the ConsentRequest, and returns its whole URL.
    """

    redirect_uri: str
    open_url: Callable[[ConsentRequest], Awaitable[None]]
    wait_for_code: Callable[[ConsentRequest], Awaitable[str]]

    async def ask(self, request: ConsentRequest) -> str:
        """Show the link and wait for the browser to come back."""
        await self.open_url(request)
        return await self.wait_for_code(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request for consent with what proves afterwards that the answer is one to it (RFC 7636)."""

    request: ConsentRequest
    verifier: str = field(repr=False)
    redirect_uri: str


def question(
    place: ServerPlace, authority: Authority, *, user: str | None, client_id: str, redirect_uri: str, scope: str | None
) -> Question:
    """Put together what the authorization server is asked."""
    verifier = secrets.token_urlsafe(64)
    challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    state = secrets.token_urlsafe(32)
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": authority.resource,
        "scope": scope,
        # A refresh token is given only if the person is asked for it (OpenID Connect Core, 11).
        "prompt": "consent" if scope and "offline_access" in scope.split() else None,
    }
    fields = urlencode({name: value for name, value in asked.items() if value is not None})
    joint = "&" if urlsplit(authority.authorization_endpoint).query else "?"
    request = ConsentRequest(
        url=f"{authority.authorization_endpoint}{joint}{fields}",
        state=state,
        server=place.url,
        user=user,
        scope=scope,
    )
    return Question(request=request, verifier=verifier, redirect_uri=redirect_uri)


def code_in(place: ServerPlace, authority: Authority, asked: Question, came_back: str) -> str:
    """Read the code out of the URL that the browser was sent back to.

    Raises ToolsetError when the person refused, and when it is the answer to another question or of somebody else
    (RFC 9207).
    """
    fields = {name: values[-1] for name, values in parse_qs(urlsplit(came_back).query).items()}
    if not secrets.compare_digest(fields.get("state", "").encode(), asked.request.state.encode()):
        raise place.problem("the answer to the request for consent does not belong to it: its state is another")
    if authority.metadata is not None:
        _check_issuer(place, authority.metadata, fields.get("iss"))
    if "error" in fields:
        raise place.problem(f"consent was refused: {word(fields['error'])}")
    if not fields.get("code"):
        raise place.problem("the authorization server has sent the browser back without a code")
    return fields["code"]


def _check_issuer(place: ServerPlace, metadata: OAuthMetadata, iss: str | None) -> None:
    try:
        validate_authorization_response_iss(iss, metadata)
    except OAuthFlowError as error:
        raise place.problem(f"the consent was not given at {metadata.issuer}: iss is missing or another") from error


def word(text: object) -> str:
    """Return an error code of OAuth, or say that it is none: nothing else of an answer may reach an error."""
    plain = isinstance(text, str) and len(text) <= 60 and text.replace("_", "").isalnum() and text.isascii()  # noqa: PLR2004  (longer than any code)
    return str(text) if plain else "no reason given"

"""Who gives tokens for an MCP server: its metadata (RFC 9728) and that of its authorization server (RFC 8414, OIDC)."""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

import httpx2
from mcp.client.auth import OAuthFlowError
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    build_protected_resource_metadata_discovery_urls,
    create_oauth_metadata_request,
    extract_field_from_www_auth,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
    handle_auth_metadata_response,
    handle_protected_resource_response,
    issuers_match,
    validate_metadata_issuer,
)
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from pydantic import AnyHttpUrl

from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace
from assistant_kit.toolsets.mcp.oauth.web import Send

BOUND_SINCE = "2025-06-18"
"""The first revision of the protocol in which tokens are bound to their server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A server's demand for a token, or for one that allows more (`step_up`).

    `background`: what it refuses is a stream of its own messages, for which nobody waits.
    """

    step_up: bool
    background: bool = False
    scope: str | None = None
    metadata_url: str | None = None
    protocol: str | None = None

    @property
    def names_resource(self) -> bool:
        """Whether the protocol that is spoken asks for tokens that are bound to their server."""
        return self.protocol is not None and self.protocol >= BOUND_SINCE


def challenge_in(response: httpx2.Response) -> Challenge | None:
    """Read the demand for another token out of a response; None when there is none."""
    denied = response.status_code == HTTPStatus.FORBIDDEN
    step_up = denied and extract_field_from_www_auth(response, "error") == "insufficient_scope"
    if not step_up and response.status_code != HTTPStatus.UNAUTHORIZED:
        return None
    asked = response.request.headers
    stream = response.request.method == "GET" and "mcp-session-id" in asked
    return Challenge(
        step_up=step_up,
        background=stream or asked.get("mcp-method") == "subscriptions/listen",
        scope=extract_scope_from_www_auth(response),
        metadata_url=extract_resource_metadata_from_www_auth(response),
        protocol=asked.get("mcp-protocol-version"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who gives tokens for a server. Without metadata of either kind it is the server itself, as of 2025-03-26.

    `resource` is what a token has to be asked for, None for servers of that time.
    """

    issuer: str
    token_endpoint: str
    authorization_endpoint: str
    registration_endpoint: str | None
    metadata: OAuthMetadata | None = None
    resource: str | None = None
    scopes: str | None = None


async def authority_for(place: ServerPlace, challenge: Challenge, send: Send, *, issuer: str | None) -> Authority:
    """Find out who gives tokens for a server; `issuer` is preferred, and nobody else is taken. Raises ToolsetError."""
    protected = await _protected(place, challenge, send)
    named = None if protected is None else _chosen(place, protected, issuer)
    metadata = await _metadata(place, named, send)
    if metadata is None and named is not None:
        raise place.problem(f"its authorization server {named} publishes no metadata")
    found = str(metadata.issuer) if metadata is not None else place.origin
    if issuer is not None and not issuers_match(found, issuer):
        raise place.problem(f"it names the authorization server {found}, and issuer= allows only {issuer}")
    resource = place.url if challenge.names_resource else None
    scopes: str | None = None
    if protected is not None:
        resource = str(protected.resource)
        scopes = None if protected.scopes_supported is None else " ".join(protected.scopes_supported)
    if metadata is None:
        return Authority(
            issuer=found,
            token_endpoint=urljoin(place.origin, "/token"),
            authorization_endpoint=urljoin(place.origin, "/authorize"),
            registration_endpoint=urljoin(place.origin, "/register"),
            resource=resource,
        )
    registration = metadata.registration_endpoint
    return Authority(
        issuer=found,
        token_endpoint=str(metadata.token_endpoint),
        authorization_endpoint=str(metadata.authorization_endpoint),
        registration_endpoint=None if registration is None else str(registration),
        metadata=metadata,
        resource=resource,
        scopes=scopes,
    )


async def _protected(place: ServerPlace, challenge: Challenge, send: Send) -> ProtectedResourceMetadata | None:
    """Read the server's own metadata; None when it has none, as before 2025-06-18."""
    failed: int | None = None
    for url in build_protected_resource_metadata_discovery_urls(challenge.metadata_url, place.url):
        response = await send(create_oauth_metadata_request(url))
        if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            failed = response.status_code
        protected = await handle_protected_resource_response(response)
        if protected is not None:
            if not place.covered_by(str(protected.resource)):
                raise place.problem(f"its metadata are those of another server, {protected.resource}")
            return protected
    if failed is not None:  # says nothing of whether there are metadata: no reason to go the way of old servers
        raise place.problem(f"its metadata cannot be read: HTTP {failed}")
    return None


def _chosen(place: ServerPlace, protected: ProtectedResourceMetadata, issuer: str | None) -> str:
    named = [str(url) for url in protected.authorization_servers]
    if issuer is None:
        return named[0]
    for url in named:
        if issuers_match(url, issuer):
            return url
    raise place.problem(f"it names the authorization server {named[0]}, and issuer= allows only {issuer}")


async def _metadata(place: ServerPlace, named: str | None, send: Send) -> OAuthMetadata | None:
    for url in build_oauth_authorization_server_metadata_discovery_urls(named, place.url):
        response = await send(create_oauth_metadata_request(url))
        answered, metadata = await handle_auth_metadata_response(response)
        if not answered:
            raise place.problem(f"the metadata of its authorization server cannot be read: HTTP {response.status_code}")
        if metadata is not None:
            return _by_the_expected(place, named, metadata)
    return None


def _by_the_expected(place: ServerPlace, named: str | None, metadata: OAuthMetadata) -> OAuthMetadata:
    """Refuse metadata of another issuer (RFC 8414, 3.3): its endpoints would get what is meant for this one."""
    if named is None:
        # The way an origin is written by the metadata's own type; a root may end in a slash or not.
        expected = str(AnyHttpUrl(place.origin))
        expected = str(metadata.issuer) if issuers_match(str(metadata.issuer), expected.rstrip("/")) else expected
    else:
        expected = named
    try:
        validate_metadata_issuer(metadata, expected)
    except OAuthFlowError as error:
        raise place.problem(f"metadata of {expected} are those of {metadata.issuer}") from error
    return metadata

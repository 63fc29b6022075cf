"""As whom this application asks an authorization server: by an agreed name, by a document, or newly registered."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import quote

from mcp.client.auth import OAuthRegistrationError
from mcp.client.auth.utils import (
    create_client_registration_request,
    handle_registration_response,
    is_valid_client_metadata_url,
    issuers_match,
    should_use_client_metadata_url,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl

from assistant_kit.errors import ConfigurationError
from assistant_kit.toolsets.mcp.oauth.discovery import Authority
from assistant_kit.toolsets.mcp.oauth.grants import Client, Method, client_from, client_text
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace
from assistant_kit.toolsets.mcp.oauth.storage import TokenKey, TokenStorage
from assistant_kit.toolsets.mcp.oauth.web import Send

Assertion: TypeAlias = Callable[[str], Awaitable[str]]
"""Makes a signed statement of who the application is, for the issuer it gets (RFC 7523)."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METHODS: tuple[Method, ...] = ("none", "client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the application is to authorization servers.

    With `client_id` it is one that they know. Else `metadata_url`, an https URL of a document that describes it, is
    its name where the authorization server takes such names, and everywhere else it is registered by itself.
    """

    name: str = "assistant_kit"
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    assertion: Assertion | None = field(default=None, repr=False)
    metadata_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not fit each other. Raises ConfigurationError."""
        if self.metadata_url is not None and not is_valid_client_metadata_url(self.metadata_url):
            raise ConfigurationError(f"metadata_url={self.metadata_url!r}: give an https URL with a path")
        if self.client_id is None and (self.client_secret or self.assertion):
            raise ConfigurationError("client_secret= and assertion= go with client_id=")
        if self.client_secret and self.assertion:
            raise ConfigurationError("give client_secret= or assertion=, not both")


class Clients:
    """Finds the client as whom one application asks, and registers it once an issuer."""

    def __init__(self, place: ServerPlace, application: Application, storage: TokenStorage) -> None:
        self._place = place
        self._application = application
        self._storage = storage
        self._key = TokenKey(server=place.url, kind="client")

    async def find(
        self, authority: Authority, send: Send, *, redirect_uri: str | None, grant_types: Sequence[str]
    ) -> Client:
        """Return the client for an authorization server. Raises ToolsetError, StoreError."""
        known = self._known(authority)
        if known is not None:
            return known
        kept = client_from(await self._storage.load(self._key))
        if kept is not None and _fits(kept, authority, redirect_uri):
            return kept
        client = await self._register(authority, send, redirect_uri, grant_types)
        await self._storage.save(self._key, client_text(client))
        return client

    async def proof(self, client: Client, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fields and headers by which a request for a token says who asks (RFC 6749, 2.3)."""
        mine = self._application
        own = client.client_id == mine.client_id  # the secret that holds is the one that is set now
        secret = (mine.client_secret if own else client.client_secret) or ""
        match client.method:
            case "client_secret_basic":
                pair = f"{quote(client.client_id, safe='')}:{quote(secret, safe='')}"
                return {}, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
            case "client_secret_post":
                return {"client_id": client.client_id, "client_secret": secret}, {}
            case "private_key_jwt":
                signed = "" if mine.assertion is None else await mine.assertion(issuer)
                fields = {"client_id": client.client_id, "client_assertion_type": ASSERTION_TYPE}
                return {**fields, "client_assertion": signed}, {}
            case _:
                return {"client_id": client.client_id}, {}

    async def refused(self) -> None:
        """Forget the registration: the authorization server does not know it any more."""
        await self._storage.delete(self._key)

    def _known(self, authority: Authority) -> Client | None:
        mine = self._application
        if mine.client_id is not None:
            return Client(client_id=mine.client_id, method=self._method(authority))
        if mine.metadata_url is not None and should_use_client_metadata_url(authority.metadata, mine.metadata_url):
            return Client(client_id=mine.metadata_url, method="none")
        return None

    def _method(self, authority: Authority) -> Method:
        if self._application.assertion is not None:
            return "private_key_jwt"
        if self._application.client_secret is None:
            return "none"
        offered = _offered(authority)
        return "client_secret_post" if offered and "client_secret_basic" not in offered else "client_secret_basic"

    async def _register(
        self, authority: Authority, send: Send, redirect_uri: str | None, grant_types: Sequence[str]
    ) -> Client:
        if authority.registration_endpoint is None:
            raise self._place.problem(
                f"{authority.issuer} does not register applications by itself: register there, and give client_id="
            )
        offered = _offered(authority)
        wanted: Method | None = next((method for method in _METHODS if method in offered), None)
        metadata = OAuthClientMetadata(
            client_name=self._application.name,
            redirect_uris=None if redirect_uri is None else [AnyUrl(redirect_uri)],
            grant_types=list(grant_types),
            token_endpoint_auth_method=wanted,
            application_type="native" if redirect_uri is None or _loops_back(redirect_uri) else "web",
        )
        # The origin is for servers without metadata; for the others the endpoint is in theirs.
        response = await send(create_client_registration_request(authority.metadata, metadata, self._place.origin))
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise self._place.problem(
                f"{authority.issuer} does not register this application: HTTP {response.status_code}"
            )
        try:
            registered = await handle_registration_response(response)
        except OAuthRegistrationError as error:
            raise self._place.problem(f"the registration at {authority.issuer} cannot be read") from error
        return Client(
            client_id=registered.client_id,
            client_secret=registered.client_secret,
            method=self._agreed(registered, wanted),
            issuer=authority.issuer,
            redirect_uri=redirect_uri,
        )

    def _agreed(self, registered: OAuthClientInformationFull, wanted: Method | None) -> Method:
        """Return the method that holds: servers may give another than was asked for (RFC 7591, 3.2.1)."""
        method = registered.token_endpoint_auth_method or wanted
        if method is None:
            method = "client_secret_basic" if registered.client_secret else "none"
        if method not in _METHODS or (method != "none" and not registered.client_secret):
            raise self._place.problem(f"it was registered for {method!r}, which needs more than the registration gives")
        return method


def _loops_back(uri: str) -> bool:
    return AnyUrl(uri).host in ("127.0.0.1", "[::1]", "localhost")


def _offered(authority: Authority) -> Sequence[str]:
    metadata = authority.metadata
    return () if metadata is None else metadata.token_endpoint_auth_methods_supported or ()


def _fits(client: Client, authority: Authority, redirect_uri: str | None) -> bool:
    return (
        client.issuer is not None
        and issuers_match(client.issuer, authority.issuer)
        and client.redirect_uri == redirect_uri
    )

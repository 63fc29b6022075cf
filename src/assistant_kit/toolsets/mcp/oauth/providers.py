"""OAuth for an MCP server, as the application sets it up."""

from typing import Final
from weakref import WeakValueDictionary

import httpx2

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import JsonObject
from assistant_kit.toolsets._tls import Verify
from assistant_kit.toolsets.mcp.oauth.access import Access, ByConsent, ByOwnRight, ByStatement, Statement
from assistant_kit.toolsets.mcp.oauth.authorizer import Arrangement, Authorizer
from assistant_kit.toolsets.mcp.oauth.bearer import Bearer
from assistant_kit.toolsets.mcp.oauth.clients import Application, Assertion
from assistant_kit.toolsets.mcp.oauth.consent import Consent
from assistant_kit.toolsets.mcp.oauth.grants import grant_from
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace, server_place
from assistant_kit.toolsets.mcp.oauth.storage import MemoryTokens, TokenKey, TokenStorage

PATIENCE: Final = 600.0
"""Seconds that a person has to decide."""


class MCPOAuth:
    """Lets each user consent to the use of an MCP server: `MCPServer(url, auth=MCPOAuth(url, consent=…))`.

    Called with a user it returns that user's authentication, for a connection of their own; None is the one user of a
    program. `url` is that of the MCP server. `consent` asks a person who has `patience` seconds to decide: `Redirect`
    in an application with pages of its own, `Loopback` on the person's own machine. `storage` keeps the tokens: in
    memory, if nothing else is given. `application` is what authorization servers know this program as; of itself it
    is registered with each. `scope` (names apart by spaces) is asked for in any case, `issuer` is the only
    authorization server that is taken. `assume_pkce` takes the support of PKCE for granted where it is not
    announced. `allow_private` lets a server have its authorization server in a private network, which one whose own
    host is an address or a name of such a network may in any case. `verify`: as of MCPServer; it is for the requests of
    the authorization to the MCP server itself, and for all of them if it is in a private network.

    Raises ConfigurationError when these do not fit each other.
    """

    def __init__(  # noqa: PLR0913  (settings of one authorization, most of them left alone)
        self,
        url: str,
        *,
        consent: Consent,
        storage: TokenStorage | None = None,
        application: Application | None = None,
        scope: str | None = None,
        issuer: str | None = None,
        patience: float = PATIENCE,
        assume_pkce: bool = False,
        allow_private: bool = False,
        verify: Verify = True,
    ) -> None:
        if patience <= 0:
            raise ConfigurationError(f"patience={patience}: give the seconds that a person has to decide")
        self._arrangement = Arrangement(
            place=server_place(url, allow_private=allow_private, verify=verify),
            application=application or Application(),
            access=ByConsent(consent=consent, patience=patience, assume_pkce=assume_pkce),
            storage=storage or MemoryTokens(),
            scope=scope,
            issuer=issuer,
        )
        self._users: WeakValueDictionary[str | None, Bearer] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"MCPOAuth({self._arrangement.place.url!r})"

    def __call__(self, user: str | None = None) -> Bearer:
        """Return the authentication of a user; the same one as long as somebody uses it."""
        found = self._users.get(user)
        if found is None:
            found = self._users[user] = Bearer(Authorizer(self._arrangement, user))
        return found

    async def told(self, user: str | None) -> JsonObject | None:
        """Return what a user has allowed, without the tokens, which are secrets; None when there is nothing.

        Raises StoreError.
        """
        kept, url = self._arrangement.storage, self._arrangement.place.url
        grant = grant_from(await kept.load(TokenKey(server=url, kind="grant", user=user)))
        if grant is None:
            return None
        return {"server": url, "issuer": grant.issuer, "scope": grant.scope, "expires_at": grant.expires_at}

    async def forget(self, user: str | None) -> None:
        """Forget a user's token; they are asked again at the next use. Raises StoreError."""
        await self(user).forget()


def client_credentials(  # noqa: PLR0913  (settings of one authorization, most of them left alone)
    url: str,
    *,
    client_id: str,
    client_secret: str | None = None,
    assertion: Assertion | None = None,
    scope: str | None = None,
    issuer: str | None = None,
    storage: TokenStorage | None = None,
    allow_private: bool = False,
    verify: Verify = True,
) -> httpx2.Auth:
    """Let a program use an MCP server in its own right: `MCPServer(url, auth=client_credentials(url, …))`.

    It proves who it is by `client_secret`, or by `assertion`, which signs a statement: `SigningKey(…)`. `issuer` is
    the only authorization server that gets to see the proof: give it, because otherwise the MCP server names one.
    `allow_private`, `verify`: as of MCPOAuth.

    Raises ConfigurationError when these do not fit each other.
    """
    if (client_secret is None) == (assertion is None):
        raise ConfigurationError("client_credentials: give client_secret=, or assertion=")
    application = Application(client_id=client_id, client_secret=client_secret, assertion=assertion)
    place = server_place(url, allow_private=allow_private, verify=verify)
    return _alone(place, ByOwnRight(), application, storage, scope=scope, issuer=issuer)


def trusted_statement(  # noqa: PLR0913  (settings of one authorization, most of them left alone)
    url: str,
    *,
    statement: Statement,
    issuer: str,
    client_id: str,
    client_secret: str | None = None,
    assertion: Assertion | None = None,
    scope: str | None = None,
    storage: TokenStorage | None = None,
    allow_private: bool = False,
    verify: Verify = True,
) -> httpx2.Auth:
    """Use an MCP server by the word of somebody whom its authorization server trusts (RFC 7523).

    `statement` returns the JWT for an issuer and the URL of the MCP server: that of an identity provider about a user
    (an ID-JAG, SEP-990), or that of a platform about what runs on it. Only `issuer` gets to see it.
    `allow_private`, `verify`: as of MCPOAuth.

    Raises ConfigurationError when these do not fit each other.
    """
    application = Application(client_id=client_id, client_secret=client_secret, assertion=assertion)
    place = server_place(url, allow_private=allow_private, verify=verify)
    return _alone(place, ByStatement(statement=statement), application, storage, scope=scope, issuer=issuer)


def _alone(
    place: ServerPlace,
    access: Access,
    application: Application,
    storage: TokenStorage | None,
    *,
    scope: str | None,
    issuer: str | None,
) -> Bearer:
    arrangement = Arrangement(
        place=place,
        application=application,
        access=access,
        storage=storage or MemoryTokens(),
        scope=scope,
        issuer=issuer,
    )
    return Bearer(Authorizer(arrangement, None))

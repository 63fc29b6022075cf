"""The code that docs/mcp-oauth.md shows; a test runs what can be run."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.toolsets.mcp import MCPServer
from assistant_kit.toolsets.mcp.oauth import (
    Application,
    ConsentRequest,
    Loopback,
    MCPOAuth,
    Redirect,
    TokenStorage,
    client_credentials,
    trusted_statement,
)
from assistant_kit.toolsets.mcp.oauth.encrypted_folder import EncryptedTokens
from assistant_kit.toolsets.mcp.oauth.signing_key import SigningKey


def command_line(url: str) -> tuple[MCPServer]:
    """One person, on their own machine."""
    # --8<-- [start:command_line]
    oauth = MCPOAuth(url, consent=Loopback())
    server = MCPServer(url, auth=oauth(None))
    # --8<-- [end:command_line]
    return (server,)


def many_users(url: str, pages: "Pages", storage: TokenStorage) -> tuple[MCPServer]:
    """A web application with many users."""
    # --8<-- [start:many_users]
    consent = Redirect(
        redirect_uri="https://app.example/oauth/callback",
        open_url=pages.show_link,  # gets a ConsentRequest: its user, url and state
        wait_for_code=pages.callback,  # waits for the request to /oauth/callback with that state
    )
    application = Application(name="Our desk", metadata_url="https://app.example/oauth/client.json")
    oauth = MCPOAuth(url, consent=consent, application=application, storage=storage)
    server = MCPServer(url, auth=oauth)  # a connection for each user
    # --8<-- [end:many_users]
    return (server,)


class Pages:
    """What a web application does for consent: it remembers who waits for which state."""

    def __init__(self, show: Callable[[str, str], Awaitable[None]], arrive: Callable[[str], Awaitable[str]]) -> None:
        self._show = show
        self._arrive = arrive

    async def show_link(self, request: ConsentRequest) -> None:
        """Show a user the link."""
        await self._show(request.user or "", request.url)

    async def callback(self, request: ConsentRequest) -> str:
        """Return the whole URL of the request that came back."""
        return await self._arrive(request.state)


def storages(folder: Path, keys: MasterKeys) -> tuple[TokenStorage]:
    """Where tokens are kept."""
    # --8<-- [start:storage]
    storage = EncryptedTokens(folder, keys)  # keys = MasterKeys.from_file(…), as for an encrypted store
    # --8<-- [end:storage]
    return (storage,)


def programs(url: str, secret: str, pem: str) -> tuple[MCPServer, ...]:
    """A program in its own right."""
    # --8<-- [start:programs]
    issuer = "https://login.example"
    by_secret = client_credentials(url, client_id="desk", client_secret=secret, issuer=issuer)
    key = SigningKey("desk", pem, algorithm="ES256")
    by_key = client_credentials(url, client_id="desk", assertion=key, issuer=issuer)
    servers = [MCPServer(url, auth=by_secret), MCPServer(url, auth=by_key)]
    # --8<-- [end:programs]
    return tuple(servers)


def workload(url: str, token_of_platform: Callable[[str, str], Awaitable[str]]) -> tuple[MCPServer]:
    """A program for which its platform vouches."""
    # --8<-- [start:workload]
    auth = trusted_statement(
        url, statement=token_of_platform, issuer="https://login.example", client_id="desk"
    )  # token_of_platform(issuer, url) returns the JWT
    server = MCPServer(url, auth=auth)
    # --8<-- [end:workload]
    return (server,)

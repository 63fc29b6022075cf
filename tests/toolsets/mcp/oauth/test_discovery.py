from typing import Any

import pytest

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets.mcp.oauth import Application, MCPOAuth
from tests.toolsets.mcp.oauth.guarded_server import GuardedServer, person
from tests.toolsets.mcp.oauth.test_providers import use, whose

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/oauth-protected-resource/mcp"
AUTHORITY = "/.well-known/oauth-authorization-server/as"


async def test_an_old_server_without_metadata_is_its_own_authorization_server(server: GuardedServer) -> None:
    server.protected = None
    assert await whose(MCPOAuth(server.url, consent=person())("ada"), server) == "ada"
    assert "resource" not in server.consents[0]
    assert {"/register", "/authorize", "/token"} < set(server.paths)


async def test_a_server_may_have_the_metadata_of_an_authorization_server_at_its_own_address(
    server: GuardedServer,
) -> None:
    server.protected, server.issuer_path = None, ""
    assert await whose(MCPOAuth(server.url, consent=person())("ada"), server) == "ada"


async def test_a_redirect_within_the_authorization_server_is_followed(server: GuardedServer) -> None:
    server.redirects["/as/token"] = f"{server.origin}/moved/token"
    assert await whose(MCPOAuth(server.url, consent=person())("ada"), server) == "ada"


async def test_redirects_without_end_are_left(server: GuardedServer) -> None:
    server.redirects["/as/token"] = f"{server.origin}/as/token"
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=person())(), server.url)


async def test_a_redirect_to_somebody_else_is_not_followed(server: GuardedServer) -> None:
    server.redirects["/as/token"] = "http://127.0.0.1:1/token"
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=person())(), server.url)


@pytest.mark.parametrize("path", [METADATA, AUTHORITY])
async def test_metadata_that_cannot_be_read_now_are_not_taken_for_none(server: GuardedServer, path: str) -> None:
    server.faults[path] = (503, {})
    somebody = person()
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=somebody)(), server.url)
    assert somebody.asked == []


async def test_an_authorization_server_without_metadata_is_not_guessed_at(server: GuardedServer) -> None:
    server.faults[AUTHORITY] = (404, {})
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert not {"/register", "/token"} & set(server.paths)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://somebody.example"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"registration_endpoint": None},
    ],
)
async def test_an_authorization_server_that_is_another_or_lacks_what_is_needed_gets_no_one_to_consent(
    server: GuardedServer, metadata: dict[str, Any]
) -> None:
    server.metadata = metadata
    somebody = person()
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=somebody)(), server.url)
    assert somebody.asked == []


async def test_support_of_pkce_may_be_taken_for_granted(server: GuardedServer) -> None:
    server.metadata = {"code_challenge_methods_supported": None}
    auth = MCPOAuth(server.url, consent=person(), assume_pkce=True)("ada")
    assert await whose(auth, server) == "ada"


@pytest.mark.parametrize(
    "registered",
    [
        {"client_id": ["hush"]},
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"token_endpoint_auth_method": "client_secret_basic"},
    ],
)
async def test_a_registration_that_cannot_be_used_is_an_error(
    server: GuardedServer, registered: dict[str, Any]
) -> None:
    server.registered = registered
    with pytest.raises(ToolsetError) as failure:
        await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert "hush" not in str(failure.value)


async def test_a_registration_that_is_refused_is_an_error(server: GuardedServer) -> None:
    server.faults["/as/register"] = (403, {"error": "hush"})
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=person())(), server.url)


@pytest.mark.parametrize(
    ("offered", "registered"),
    [
        (["client_secret_post"], {"client_secret": "hush"}),
        (["private_key_jwt", "client_secret_basic"], {"client_secret": "hush"}),
        (None, {"client_secret": "hush"}),
        (["none"], {}),
    ],
)
async def test_a_new_registration_proves_itself_as_it_was_agreed(
    server: GuardedServer, offered: list[str] | None, registered: dict[str, Any]
) -> None:
    server.metadata = {"token_endpoint_auth_methods_supported": offered}
    server.registered = registered
    assert await whose(MCPOAuth(server.url, consent=person())("ada"), server) == "ada"


async def test_a_token_that_lasts_is_asked_for_where_there_is_a_scope_for_it(server: GuardedServer) -> None:
    server.protected = {"scopes_supported": ["read"]}
    server.metadata = {"scopes_supported": ["read", "offline_access"]}
    auth = MCPOAuth(server.url, consent=person())()
    await use(auth, server.url)
    assert (server.consents[0]["scope"], server.consents[0]["prompt"]) == ("read offline_access", "consent")


async def test_what_the_application_asks_for_comes_before_all_that_there_is(server: GuardedServer) -> None:
    server.protected = {"scopes_supported": ["read", "write"]}
    await use(MCPOAuth(server.url, consent=person(), scope="read")(), server.url)
    assert server.consents[0]["scope"] == "read"


@pytest.mark.parametrize("endpoint", ["http://1.1.1.1/token", "http://login.example/token"])
async def test_secrets_are_not_sent_in_the_clear(server: GuardedServer, endpoint: str) -> None:
    server.metadata = {"registration_endpoint": endpoint}
    with pytest.raises(ToolsetError) as failure:
        await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert failure.value.__cause__ is None  # nobody has tried to connect


async def test_an_authorization_server_that_is_not_there_is_an_error(server: GuardedServer) -> None:
    server.metadata = {"token_endpoint": "http://127.0.0.1:1/token"}
    with pytest.raises(ToolsetError):
        await use(MCPOAuth(server.url, consent=person())(), server.url)


async def test_an_authorization_endpoint_may_have_a_query_of_its_own(server: GuardedServer) -> None:
    server.metadata = {"authorization_endpoint": f"{server.issuer}/authorize?tenant=t1"}
    await use(MCPOAuth(server.url, consent=person())(), server.url)
    assert server.consents[0]["tenant"] == "t1"


async def test_an_application_on_the_web_is_registered_as_one(server: GuardedServer) -> None:
    somebody = person()
    somebody.redirect_uri = "https://app.example/callback"
    await use(MCPOAuth(server.url, consent=somebody, application=Application(name="Desk"))(), server.url)
    assert server.registrations[0]["application_type"] == "web"

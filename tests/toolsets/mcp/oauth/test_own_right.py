import pytest

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.toolsets.mcp.oauth import Application, MemoryTokens, client_credentials, trusted_statement
from assistant_kit.toolsets.mcp.oauth.signing_key import SigningKey
from tests.toolsets.mcp.oauth.guarded_server import GuardedServer
from tests.toolsets.mcp.oauth.signing_keys import key_pair
from tests.toolsets.mcp.oauth.test_providers import use, whose

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("offered", "by_header"), [(None, True), (["client_secret_basic"], True), (["client_secret_post"], False)]
)
async def test_a_program_proves_who_it_is_by_a_secret(
    server: GuardedServer, offered: list[str] | None, *, by_header: bool
) -> None:
    server.clients["de sk"] = "hu:sh"
    server.metadata = {"token_endpoint_auth_methods_supported": offered}
    auth = client_credentials(server.url, client_id="de sk", client_secret="hu:sh", issuer=server.issuer, scope="read")
    assert await whose(auth, server) == "de sk"
    said = server.said[0]
    assert (said["grant_type"], said["resource"], said["scope"]) == ("client_credentials", server.url, "read")
    assert said["authorization"].startswith("Basic ") is by_header
    assert ("client_secret" in said) is not by_header
    assert server.consents == []


async def test_a_program_proves_who_it_is_by_a_key(server: GuardedServer) -> None:
    private, public = key_pair()
    server.clients["desk"] = public
    key = SigningKey("desk", private, algorithm="ES256")
    auth = client_credentials(server.url, client_id="desk", assertion=key)
    assert await whose(auth, server) == "desk"
    assert "client_secret" not in server.said[0]
    assert private not in repr(key)


async def test_a_program_whose_token_is_over_gets_another(server: GuardedServer) -> None:
    server.clients["desk"] = "hush"
    server.lasts = None
    auth = client_credentials(server.url, client_id="desk", client_secret="hush", storage=MemoryTokens())
    assert await whose(auth, server) == "desk"
    server.tokens.clear()
    server.refreshes.clear()
    assert await whose(auth, server) == "desk"
    assert server.kinds() == ["client_credentials", "refresh_token", "client_credentials"]


@pytest.mark.parametrize("protected", [{}, None])
async def test_only_the_issuer_that_was_named_gets_the_proof(
    server: GuardedServer, protected: dict[str, str] | None
) -> None:
    server.clients["desk"] = "hush"
    server.protected = protected
    server.issuer_path = "/as" if protected is not None else ""
    auth = client_credentials(
        server.url, client_id="desk", client_secret="hush", issuer="https://login.example", allow_private=True
    )
    with pytest.raises(ToolsetError):
        await use(auth, server.url)
    assert server.said == []


async def test_of_several_authorization_servers_the_one_that_was_named_is_taken(server: GuardedServer) -> None:
    server.clients["desk"] = "hush"
    server.protected = {"authorization_servers": ["https://login.example", server.issuer]}
    auth = client_credentials(server.url, client_id="desk", client_secret="hush", issuer=server.issuer)
    assert await whose(auth, server) == "desk"


async def test_a_statement_of_somebody_who_is_trusted_gives_a_token(server: GuardedServer) -> None:
    server.clients["desk"] = "hush"
    asked: list[tuple[str, str]] = []

    async def statement(issuer: str, resource: str) -> str:
        asked.append((issuer, resource))
        return "signed"

    auth = trusted_statement(
        server.url, statement=statement, issuer=server.issuer, client_id="desk", client_secret="hush", scope="read"
    )
    assert await whose(auth, server) == "desk"
    assert asked == [(server.issuer, server.url)]
    assert server.said[0]["assertion"] == "signed"
    assert server.said[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"


async def test_a_client_that_is_not_known_is_an_error(server: GuardedServer) -> None:
    with pytest.raises(ToolsetError):
        await use(client_credentials(server.url, client_id="desk", client_secret="hush"), server.url)


def test_a_program_has_a_secret_or_a_key() -> None:
    with pytest.raises(ConfigurationError):
        client_credentials("https://mcp.example", client_id="desk")


async def never(_: str) -> str:
    raise AssertionError


@pytest.mark.parametrize(
    "settings",
    [
        {"client_secret": "hush"},
        {"assertion": never},
        {"client_id": "desk", "client_secret": "hush", "assertion": never},
        {"metadata_url": "http://app.example/client.json"},
    ],
)
def test_what_an_application_is_has_to_fit(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Application(**settings)  # pyright: ignore[reportArgumentType]  (one of them is a function)


@pytest.mark.parametrize("pem", ["hush", "-----BEGIN PRIVATE KEY-----\naGk=\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(pem: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        SigningKey("desk", pem)
    assert pem not in str(failure.value)

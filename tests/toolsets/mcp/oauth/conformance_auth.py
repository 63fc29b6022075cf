"""What the scenarios `auth/*` of the official conformance suite need of a client, for the program that it runs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2
import jwt

from assistant_kit.toolsets.mcp.oauth import (
    Application,
    ConsentRequest,
    MCPOAuth,
    client_credentials,
    trusted_statement,
)
from assistant_kit.toolsets.mcp.oauth.signing_key import SigningKey

# The suite knows a client by this document, which it does not read.
DOCUMENT = "https://conformance-test.local/client-metadata.json"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


class Consenting:
    """A browser that consents to everything."""

    redirect_uri = "http://localhost:3000/callback"

    async def ask(self, request: ConsentRequest) -> str:
        async with httpx2.AsyncClient() as browser:
            answered = await browser.get(request.url, follow_redirects=False)
        return answered.headers["location"]


def auth_for(url: str, scenario: str, context: Mapping[str, str]) -> httpx2.Auth:
    """Return the authentication for a server of the suite; `context` is MCP_CONFORMANCE_CONTEXT as JSON, or empty."""
    match scenario:
        case "auth/client-credentials-jwt":
            key = SigningKey(context["client_id"], context["private_key_pem"], algorithm=context["signing_algorithm"])
            return client_credentials(url, client_id=context["client_id"], assertion=key)
        case "auth/client-credentials-basic":
            return client_credentials(url, client_id=context["client_id"], client_secret=context["client_secret"])
        case "auth/wif-jwt-bearer":
            return _workload(url, context)
        case "auth/enterprise-managed-authorization":
            return _enterprise(url, context)
        case _:
            application = Application(
                client_id=context.get("client_id"),
                client_secret=context.get("client_secret"),
                metadata_url=DOCUMENT,
            )
            oauth = MCPOAuth(url, consent=Consenting(), application=application, issuer=context.get("issuer"))
            return oauth(None)


def _workload(url: str, context: Mapping[str, str]) -> httpx2.Auth:
    said = context["valid_jwt"]

    async def statement(_issuer: str, _resource: str) -> str:
        return said

    issuer = jwt.decode(said, options={"verify_signature": False})["aud"]
    return trusted_statement(url, statement=statement, issuer=issuer, client_id=context["client_id"])


def _enterprise(url: str, context: Mapping[str, str]) -> httpx2.Auth:
    async def statement(issuer: str, resource: str) -> str:
        asked = {
            "grant_type": EXCHANGE,
            "requested_token_type": ID_JAG,
            "audience": issuer,
            "resource": resource,
            "subject_token": context["idp_id_token"],
            "subject_token_type": ID_TOKEN,
            "client_id": context["idp_client_id"],
        }
        async with httpx2.AsyncClient() as provider:
            answered = await provider.post(context["idp_token_endpoint"], data=asked)
        return answered.json()["access_token"]

    # A user would set the issuer; the suite names it in the metadata of the server only.
    place = urlsplit(url)
    told = httpx2.get(f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource{place.path}").json()
    return trusted_statement(
        url,
        statement=statement,
        issuer=told["authorization_servers"][0],
        client_id=context["client_id"],
        client_secret=context["client_secret"],
    )

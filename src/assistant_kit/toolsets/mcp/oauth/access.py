"""The ways to a token: a person's consent, the application's own right, or a statement of somebody who is trusted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import anyio

from assistant_kit.toolsets.mcp.oauth.consent import Consent, code_in, question
from assistant_kit.toolsets.mcp.oauth.discovery import Authority
from assistant_kit.toolsets.mcp.oauth.grants import Client
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace
from assistant_kit.toolsets.mcp.patience import while_a_person_decides

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
Statement: TypeAlias = Callable[[str, str], Awaitable[str]]
"""Returns a statement (a JWT) about who asks, for an issuer and the URL of the MCP server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """For whom, where and for what a token is asked."""

    place: ServerPlace
    authority: Authority
    client: Client
    user: str | None
    scope: str | None


class Access(Protocol):
    """A way to a token."""

    @property
    def grant_types(self) -> Sequence[str]:
        """What an application has to be registered for to go this way."""
        ...

    @property
    def redirect_uri(self) -> str | None:
        """Where a browser comes back to, if one is needed."""
        ...

    async def fields(self, terms: Terms) -> dict[str, str]:
        """Return what goes into the request for a token. Raises ToolsetError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ByConsent:
    """A person consents in a browser (authorization code with PKCE); `patience` is in seconds."""

    consent: Consent
    patience: float
    assume_pkce: bool = False

    @property
    def grant_types(self) -> Sequence[str]:
        """The code, and a refresh token so that the person is asked once."""
        return ("authorization_code", "refresh_token")

    @property
    def redirect_uri(self) -> str | None:
        """Where the browser comes back to."""
        return self.consent.redirect_uri

    async def fields(self, terms: Terms) -> dict[str, str]:
        """Ask the person, and return the code. Raises ToolsetError."""
        self._check_pkce(terms)
        asked = question(
            terms.place,
            terms.authority,
            user=terms.user,
            client_id=terms.client.client_id,
            redirect_uri=self.consent.redirect_uri,
            scope=terms.scope,
        )
        with while_a_person_decides():
            try:
                with anyio.fail_after(self.patience):
                    came_back = await self.consent.ask(asked.request)
            except TimeoutError as error:
                raise terms.place.problem(f"nobody has consented within {self.patience:g} s") from error
        return {
            "grant_type": "authorization_code",
            "code": code_in(terms.place, terms.authority, asked, came_back),
            "redirect_uri": asked.redirect_uri,
            "code_verifier": asked.verifier,
        }

    def _check_pkce(self, terms: Terms) -> None:
        metadata = terms.authority.metadata
        if metadata is None or self.assume_pkce:
            return
        if "S256" not in (metadata.code_challenge_methods_supported or ()):
            raise terms.place.problem(
                f"{terms.authority.issuer} does not say that it supports PKCE (S256), without which a code can be "
                "stolen: if you know that it does, give assume_pkce=True"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByOwnRight:
    """The application asks for itself (client credentials)."""

    @property
    def grant_types(self) -> Sequence[str]:
        """The application's own credentials."""
        return ("client_credentials",)

    @property
    def redirect_uri(self) -> str | None:
        """No browser is needed."""
        return None

    async def fields(self, terms: Terms) -> dict[str, str]:
        """Return the kind of the request; the rest is the proof of who asks."""
        return {"grant_type": "client_credentials", **_scope(terms)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByStatement:
    """Somebody whom the authorization server trusts says who asks (RFC 7523): an identity provider, a platform."""

    statement: Statement = field(repr=False)

    @property
    def grant_types(self) -> Sequence[str]:
        """A statement in place of credentials."""
        return (JWT_BEARER,)

    @property
    def redirect_uri(self) -> str | None:
        """No browser is needed."""
        return None

    async def fields(self, terms: Terms) -> dict[str, str]:
        """Get the statement."""
        said = await self.statement(terms.authority.issuer, terms.authority.resource or terms.place.url)
        return {"grant_type": JWT_BEARER, "assertion": said, **_scope(terms)}


def _scope(terms: Terms) -> dict[str, str]:
    return {} if terms.scope is None else {"scope": terms.scope}

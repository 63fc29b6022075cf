"""The token of one user for one server: kept, renewed and asked for."""

import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import cast

import httpx2
from mcp.client.auth.utils import issuers_match, union_scopes
from mcp.shared.auth import OAuthToken
from pydantic import ValidationError

from assistant_kit.toolsets.mcp.oauth.access import Access, Terms
from assistant_kit.toolsets.mcp.oauth.clients import Application, Clients
from assistant_kit.toolsets.mcp.oauth.consent import word
from assistant_kit.toolsets.mcp.oauth.discovery import Authority, Challenge, authority_for
from assistant_kit.toolsets.mcp.oauth.grants import LIFE, Client, Grant, grant_from, grant_text
from assistant_kit.toolsets.mcp.oauth.one_attempt import OneAttempt
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace
from assistant_kit.toolsets.mcp.oauth.storage import TokenKey, TokenStorage
from assistant_kit.toolsets.mcp.oauth.web import Send, web


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """What is the same for all users of a server: who asks, in which way, where tokens are kept.

    `scope` is asked for in any case; `issuer` is the one authorization server that is taken.
    """

    place: ServerPlace
    application: Application
    access: Access
    storage: TokenStorage
    scope: str | None = None
    issuer: str | None = None


class Authorizer:
    """Has the token of one user, None being the application itself."""

    def __init__(self, arrangement: Arrangement, user: str | None) -> None:
        self.place: ServerPlace = arrangement.place
        self._about = arrangement
        self._user = user
        self._key = TokenKey(server=arrangement.place.url, kind="grant", user=user)
        self._clients = Clients(arrangement.place, arrangement.application, arrangement.storage)
        self._attempt = OneAttempt()
        self._grant: Grant | None = None
        self._loaded = False

    def __repr__(self) -> str:
        return f"Authorizer({self.place.name!r}, user={self._user!r})"

    async def current(self) -> Grant | None:
        """Return the token to be sent, renewed when its time is over; None when there is none. Raises ToolsetError."""
        while not self._loaded:
            await self._attempt.make(self._load)
        stale = self._grant
        if stale is not None and stale.over(time.time()):
            while self._grant is stale:
                await self._attempt.make(self._renew_what_is_over)
        return self._grant

    async def after(self, challenge: Challenge, sent: Grant | None, *, refreshable: bool) -> Grant:
        """Return another token than the one that was sent and not taken. Raises ToolsetError."""

        async def work() -> None:
            await self._replace(challenge, sent, refreshable=refreshable)

        while self._grant is None or self._grant is sent:
            await self._attempt.make(work)
        return self._grant

    async def forget(self) -> None:
        """Forget the token, here and where it is kept."""
        self._grant, self._loaded = None, True
        await self._about.storage.delete(self._key)

    async def _load(self) -> None:
        self._grant = grant_from(await self._about.storage.load(self._key))
        self._loaded = True

    async def _renew_what_is_over(self) -> None:
        if self._grant is None or await self._taken_over(self._grant):
            return
        async with web(self.place) as send:
            self._grant = await self._refreshed(self._grant, send)

    async def _taken_over(self, stale: Grant) -> bool:
        """Whether another process has renewed the token meanwhile; then it is used."""
        kept = grant_from(await self._about.storage.load(self._key))
        if kept is None or kept == stale or kept.over(time.time()):
            return False
        self._grant = kept
        return True

    async def _replace(self, challenge: Challenge, sent: Grant | None, *, refreshable: bool) -> None:
        async with web(self.place) as send:
            authority = await authority_for(self.place, challenge, send, issuer=self._about.issuer)
            # What somebody else has given says nothing here, and its refresh token is nothing for this one.
            earlier = sent if sent is not None and issuers_match(sent.issuer, authority.issuer) else None
            if earlier is not None and refreshable and not challenge.step_up:
                if await self._taken_over(earlier):
                    return
                self._grant = await self._refreshed(earlier, send)
                if self._grant is not None:
                    return
            if challenge.background:
                raise self.place.problem("it wants another token for its stream, and nobody is asked for that")
            scope = wanted_scope(challenge, authority, self._about.scope, None if earlier is None else earlier.scope)
            if "refresh_token" in self._about.access.grant_types:
                scope = with_offline_access(scope, authority)
            self._grant = await self._obtained(authority, scope, send)

    async def _obtained(self, authority: Authority, scope: str | None, send: Send) -> Grant:
        about = self._about
        client = await self._clients.find(
            authority, send, redirect_uri=about.access.redirect_uri, grant_types=about.access.grant_types
        )
        terms = Terms(place=self.place, authority=authority, client=client, user=self._user, scope=scope)
        fields = await about.access.fields(terms)
        if authority.resource is not None:
            fields["resource"] = authority.resource
        response = await self._ask(authority.token_endpoint, authority.issuer, client, fields, send)
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            reason = _reason(response)
            if reason == "invalid_client":
                await self._clients.refused()
            raise self.place.problem(f"{authority.issuer} gives no token: HTTP {response.status_code}, {reason}")
        return await self._keep(
            self._token(response),
            Grant(
                access_token="",
                token_endpoint=authority.token_endpoint,
                issuer=authority.issuer,
                client=client,
                scope=scope,
                resource=authority.resource,
            ),
        )

    async def _refreshed(self, stale: Grant, send: Send) -> Grant | None:
        """Return the token that follows by a refresh token; None when there is none, or it is refused."""
        if stale.refresh_token is None:
            return None
        fields = {"grant_type": "refresh_token", "refresh_token": stale.refresh_token}
        if stale.resource is not None:
            fields["resource"] = stale.resource
        response = await self._ask(stale.token_endpoint, stale.issuer, stale.client, fields, send)
        if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise self.place.problem(f"{stale.issuer} cannot renew the token: HTTP {response.status_code}")
        if response.status_code != HTTPStatus.OK:
            if _reason(response) == "invalid_client":
                await self._clients.refused()
            return None
        return await self._keep(self._token(response), stale)

    async def _ask(
        self, endpoint: str, issuer: str, client: Client, fields: dict[str, str], send: Send
    ) -> httpx2.Response:
        who, headers = await self._clients.proof(client, issuer)
        return await send(httpx2.Request("POST", endpoint, data={**fields, **who}, headers=headers))

    def _token(self, response: httpx2.Response) -> OAuthToken:
        try:
            return OAuthToken.model_validate_json(response.content)
        except ValidationError:  # it quotes what it was given
            problem = self.place.problem("what the authorization server gives is no bearer token")
        raise problem

    async def _keep(self, token: OAuthToken, before: Grant) -> Grant:
        """Keep a token; what the answer does not say is as before, or as it was asked for (RFC 6749, 5.1 and 6)."""
        grant = replace(
            before,
            access_token=token.access_token,
            refresh_token=token.refresh_token or before.refresh_token,
            expires_at=None if token.expires_in is None else time.time() + LIFE * token.expires_in,
            scope=token.scope or before.scope,
        )
        await self._about.storage.save(self._key, grant_text(grant))
        return grant


def wanted_scope(challenge: Challenge, authority: Authority, configured: str | None, granted: str | None) -> str | None:
    """Choose what to ask for: what the server demands, else what it names in its metadata; what is set in any case.

    With a step-up goes what was granted before, which would be lost else (SEP-2350).
    """
    wanted = union_scopes(configured, challenge.scope or (None if configured else authority.scopes))
    if challenge.step_up:
        wanted = union_scopes(granted, wanted)
    return wanted


def with_offline_access(scope: str | None, authority: Authority) -> str | None:
    """Ask for a refresh token, where the authorization server has a scope for it (SEP-2207)."""
    offered = None if authority.metadata is None else authority.metadata.scopes_supported
    return union_scopes(scope, "offline_access") if scope and "offline_access" in (offered or ()) else scope


def _reason(response: httpx2.Response) -> str:
    """Return the error code of an answer."""
    try:
        answer: object = response.json()
    except ValueError:
        return word(None)
    return word(cast("dict[str, object]", answer).get("error") if isinstance(answer, dict) else None)

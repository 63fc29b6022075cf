"""Puts the token of one user on the requests to one server, and gets another when the server does not take it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx2

from assistant_kit.toolsets.mcp.oauth.authorizer import Authorizer
from assistant_kit.toolsets.mcp.oauth.discovery import Challenge, challenge_in
from assistant_kit.toolsets.mcp.oauth.grants import Grant


@dataclass(slots=True)
class _Tries:
    """What was already done for the sake of one request: each once, then the refusal stands."""

    refreshed: bool = False
    consented: bool = False
    stepped_up: bool = False

    def admit(self, challenge: Challenge, sent: Grant | None) -> bool:
        if challenge.step_up:
            admitted, self.stepped_up = not self.stepped_up, True
        elif sent is not None and sent.refresh_token is not None and not self.refreshed:
            admitted, self.refreshed = True, True
        else:
            admitted, self.consented = not self.consented, True
        return admitted


class Bearer(httpx2.Auth):
    """Authentication of one user at one MCP server. Requests go side by side; only getting a token is done alone."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def __repr__(self) -> str:
        return f"Bearer({self._authorizer!r})"

    async def forget(self) -> None:
        """Forget the token, here and where it is kept. Raises StoreError."""
        await self._authorizer.forget()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send a request with the token; when it is not taken, get another and send it again. Raises ToolsetError."""
        if not self._authorizer.place.owns(request.url):  # a token is for its server and for nobody else
            yield request
            return
        sent = await self._authorizer.current()
        tries = _Tries()
        while True:
            _put(sent, request)
            challenge = challenge_in((yield request))
            if challenge is None:
                return
            refreshable = not tries.refreshed
            if not tries.admit(challenge, sent):
                return
            sent = await self._authorizer.after(challenge, sent, refreshable=refreshable)


def _put(grant: Grant | None, request: httpx2.Request) -> None:
    if grant is not None:
        request.headers["Authorization"] = f"Bearer {grant.access_token}"

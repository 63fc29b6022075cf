"""The requests of the authorization itself: metadata, registration, tokens."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import httpx2

from assistant_kit.toolsets._public_only import PublicOnly
from assistant_kit.toolsets._tls import context_of
from assistant_kit.toolsets.mcp.oauth.server_place import ServerPlace

TIMEOUT = 30.0  # seconds for each request
REDIRECTS = 5

Send: TypeAlias = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
"""Sends a request and returns the whole response. Raises ToolsetError."""


@asynccontextmanager
async def web(place: ServerPlace) -> AsyncGenerator[Send]:
    """Give what sends requests, with a client of its own: nothing that was set for the MCP server goes along.

    The server and its authorization server name the addresses: those of one on the internet must be there, too, or
    it could make this process ask around in the network it runs in. The certificate that the application shows is not
    for those, either.
    """
    try:
        tls = context_of(place.verify)
    except Exception as error:
        raise place.problem(f"verify= of the application has failed: {type(error).__name__}") from error
    async with _client(place, tls) as http:
        yield partial(_sent, http, place)


def _client(place: ServerPlace, tls: ssl.SSLContext) -> httpx2.AsyncClient:
    if place.in_private_network:
        return httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False, verify=tls)
    own, others = (PublicOnly(partial(httpx2.AsyncHTTPTransport, verify=context)) for context in (tls, context_of()))
    return httpx2.AsyncClient(
        timeout=TIMEOUT, follow_redirects=False, verify=tls, transport=others, mounts={place.origin: own}
    )


async def _sent(http: httpx2.AsyncClient, place: ServerPlace, request: httpx2.Request) -> httpx2.Response:
    response = await _once(http, place, request)
    redirects = 0
    while response.next_request is not None and redirects < REDIRECTS:
        if not _same_message_and_origin(request, response.next_request):
            break
        response = await _once(http, place, response.next_request)
        redirects += 1
    return response


async def _once(http: httpx2.AsyncClient, place: ServerPlace, request: httpx2.Request) -> httpx2.Response:
    if not place.admits(request.url):
        raise place.problem(f"it sends the authorization to {shown(request.url)}, which has to be https")
    try:
        return await http.send(request)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        problem = f"{shown(request.url)} cannot be reached for the authorization: {type(error).__name__}"
        raise place.problem(problem) from error


def _same_message_and_origin(request: httpx2.Request, following: httpx2.Request) -> bool:
    """Whether a redirect keeps what was said where it was said: what is in it was meant for that server alone."""
    return (following.method, following.url.scheme, following.url.host, following.url.port) == (
        request.method,
        request.url.scheme,
        request.url.host,
        request.url.port,
    )


def shown(url: httpx2.URL) -> str:
    """Write a URL for an error: without what may be secret."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))

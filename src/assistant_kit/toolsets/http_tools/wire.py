"""Requests to a plain HTTP tool server: bounded, without redirects, and with what a failure says about sending."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import httpx2

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import JsonObject
from assistant_kit.toolsets._tls import Verify, checked, context_of
from assistant_kit.toolsets.http_tools.verdicts import Reply

DISCOVER: Final = "mcp/discover"
EXECUTE: Final = "mcp/execute"
HEALTH: Final = "health"
IDEMPOTENCY_KEY: Final = "idempotency-key"
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that are read at most, decompressed."""

UserAuth: TypeAlias = httpx2.Auth | Callable[[str | None], httpx2.Auth | None] | None
"""Credentials: the same for all, or those of the user for whom a run goes on (None: of nobody)."""
UserHeaders: TypeAlias = Mapping[str, str] | Callable[[str | None], Mapping[str, str]] | None
"""Headers, in the same two ways."""

_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
)


class Unreachable(Exception):
    """No connection was made: nothing was sent."""


class Broken(Exception):
    """The connection broke, or the answer is none, after the request was sent."""


class Wire:
    """An HTTP client of one server.

    `connect_timeout` is in seconds; the wait for an answer is bounded by who waits.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: UserAuth,
        headers: UserHeaders,
        connect_timeout: float,
        transport: httpx2.AsyncBaseTransport | None,
        verify: Verify | None,
    ) -> None:
        """Take the address; nothing is opened yet. Raises ConfigurationError when it is no http(s) URL."""
        if verify is not None:
            checked(verify, where="HTTPTools")
            if transport is not None:
                raise ConfigurationError("HTTPTools: transport= makes the connections, so give verify= to it")
        self._transport = transport
        self._verify: Verify | None = verify
        self._url = _checked(url)
        self._auth = auth
        self._headers = headers
        self._fixed = httpx2.Headers() if headers is None or callable(headers) else _encoded(headers)
        self._timeout = httpx2.Timeout(connect_timeout, read=None)
        self._client: httpx2.AsyncClient | None = None

    @property
    def place(self) -> str:
        """Host and port: what errors may show of the address."""
        host = self._url.host
        return host if self._url.port is None else f"{host}:{self._url.port}"

    @property
    def per_user(self) -> bool:
        """Whether each user has credentials of their own."""
        return callable(self._auth) or callable(self._headers)

    @property
    def open(self) -> bool:
        """Whether requests can be made."""
        return self._client is not None

    def start(self) -> None:
        """Make the client; connections are made when they are needed. Raises what `verify` raises."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx2.AsyncClient(
            timeout=self._timeout,
            follow_redirects=False,
            limits=limits,
            transport=self._transport,
            verify=context_of(self._verify),
        )

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, path: str, *, user: str | None, headers: Mapping[str, str] | None = None) -> Reply:
        """Make a GET request. Raises Unreachable, Broken."""
        return await self._send("GET", path, user=user, headers=headers or {}, body=None)

    async def post(self, path: str, body: JsonObject, *, user: str | None, headers: Mapping[str, str]) -> Reply:
        """Make a POST request with a JSON body. Raises Unreachable, Broken."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return await self._send(
            "POST", path, user=user, headers={"content-type": "application/json", **headers}, body=content
        )

    async def _send(
        self, method: str, path: str, *, user: str | None, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        client = self._client
        if client is None:
            raise Unreachable("not connected")
        own = _encoded(self._headers(user)) if callable(self._headers) else self._fixed
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/{path}")
        request = client.build_request(method, url, content=body, headers={**own, **headers})
        try:
            return await _read(await client.send(request, stream=True, auth=self._credentials(user)))
        except _NOT_SENT as error:
            raise Unreachable(type(error).__name__) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Broken(type(error).__name__) from error

    def _credentials(self, user: str | None) -> Any:  # the client's own mark for "nothing given" has no public type
        auth = self._auth if isinstance(self._auth, httpx2.Auth) or self._auth is None else self._auth(user)
        # Without any, those in the URL stay in force.
        return httpx2.USE_CLIENT_DEFAULT if auth is None else auth


def _encoded(headers: Mapping[str, str]) -> httpx2.Headers:
    try:
        return httpx2.Headers(headers)
    except UnicodeEncodeError:  # it quotes the header, which may be secret
        raise ConfigurationError("HTTPTools: headers= has characters that no header may have") from None


async def _read(response: httpx2.Response) -> Reply:
    pieces: list[bytes] = []
    size = 0
    try:
        async with aclosing(response.aiter_bytes()) as body:
            async for piece in body:
                size += len(piece)
                if size > MAX_ANSWER:
                    raise Broken(f"its answer has more than {MAX_ANSWER} bytes")
                pieces.append(piece)
    finally:
        await response.aclose()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(status=response.status_code, headers=headers, body=b"".join(pieces))


def _checked(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError("HTTPTools: this is no URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(
            "HTTPTools takes the URL of a server (http:// or https://), such as 'https://tools.example'"
        )
    return parsed

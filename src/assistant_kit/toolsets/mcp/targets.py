"""From what the application names to the ways to an MCP server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer as SDKServer
from mcp.server import Server

from assistant_kit.errors import ConfigurationError
from assistant_kit.toolsets._tls import Verify, checked, context_of
from assistant_kit.toolsets.mcp.contained_http import ContainedClient
from assistant_kit.toolsets.mcp.link import Endpoint, Opening, Way
from assistant_kit.toolsets.mcp.sse import sse_streams
from assistant_kit.toolsets.mcp.stdio import StdioServer

ServerObject: TypeAlias = SDKServer | Server[Any]
Target: TypeAlias = Sequence[str] | ServerObject
Headers: TypeAlias = Mapping[str, str] | Callable[[str | None], Mapping[str, str] | None]
"""Headers of each request, or a function of the run's user that gives them: each user has a connection then."""
Auth: TypeAlias = httpx2.Auth | Callable[[str | None], httpx2.Auth | None]
"""What authenticates each request, or a function of the run's user that gives it."""
WebTransport: TypeAlias = Literal["http", "sse"]

PATIENCE = 10.0  # seconds that a process may be silent before another one is asked in the old protocol
# What a server of the first HTTP transport says to a POST at its stream of events (the specification's "backwards
# compatibility", and 400 since 2025-11-25).
_NO_POST = frozenset({400, 404, 405})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, as the application says it. `connect_timeout` is in seconds.

    `transport`: None tries streamable HTTP at a URL, and then the older one. `allow_private`: None lets the URL itself
    lead anywhere, and hosts that others name to public addresses only; False holds the URL to that, too. `verify` is
    for the URL's own host, and with `allow_private=True` for all.
    """

    target: Target
    name: str
    env: Mapping[str, str] | None = None
    cwd: str | Path | None = None
    headers: Headers | None = None
    auth: Auth | None = None
    transport: WebTransport | None = None
    allow_private: bool | None = None
    verify: Verify | None = None
    connect_timeout: float = 30.0

    @property
    def per_user(self) -> bool:
        """Whether users have connections of their own."""
        return callable(self.headers) or callable(self.auth)

    def endpoint(self, user: str | None) -> Endpoint:
        """Return the ways to the server for a user. Raises what the functions of the application raise."""
        match self.target:
            case str():
                return self._web(self.target, user)
            case Sequence():
                return self._process(tuple(self.target))
            case _:
                way = Way(name="object", open=partial(_open_object, self.target), mode="auto")
                return Endpoint(name=self.name, ways=(way,), connect_timeout=self.connect_timeout, advice="")

    def _web(self, url: str, user: str | None) -> Endpoint:
        headers = self.headers(user) if callable(self.headers) else self.headers
        auth = self.auth(user) if callable(self.auth) else self.auth
        tls, host = context_of(self.verify), httpx2.URL(url).host
        client = partial(ContainedClient, headers, auth=auth, trusted=self._trusted(host), host=host, tls=tls)
        http = Way(name="http", open=partial(_open_http, url, client), mode="auto")
        sse = Way(name="sse", open=partial(_open_sse, url, client), mode="legacy", after=_NO_POST)
        ways = {"http": (http,), "sse": (sse,), None: (http, sse)}
        return Endpoint(
            name=self.name,
            ways=ways[self.transport],
            connect_timeout=self.connect_timeout,
            advice="look whether the server runs, and whether this is its MCP endpoint",
        )

    def _trusted(self, host: str) -> tuple[str, ...] | None:
        if self.allow_private:
            return None
        return () if self.allow_private is False else (host,)

    def _process(self, command: Sequence[str]) -> Endpoint:
        start = partial(_open_command, command, self.env, self.cwd)
        return Endpoint(
            name=self.name,
            ways=(Way(name="stdio", open=start, mode="auto"), Way(name="stdio", open=start, mode="legacy")),
            connect_timeout=self.connect_timeout,
            advice="run its command by hand to see more",
            patience=PATIENCE,
        )


def address(
    target: Target,
    *,
    name: str | None,
    connect_timeout: float,
    process: Mapping[str, Any],
    web: Mapping[str, Any],
) -> Address:
    """Tell where a server is.

    `process` and `web` are the fields of Address that go with a command and with a URL, None where they were not given.
    Raises ConfigurationError for what is neither a command, a URL nor a server object, or does not go with it.
    """
    if not isinstance(target, Sequence):
        name, what, foreign = name or target.name, "a server object", {**process, **web}
    elif isinstance(target, str):
        name, what, foreign = name or _host(target), "a URL", process
    else:
        name, what, foreign = name or _program(target), "a command", web
    for setting, value in foreign.items():
        if value is not None:
            raise ConfigurationError(f"MCPServer {name}: {setting}= does not go with {what}: leave it out")
    if web["transport"] not in (None, "http", "sse"):
        raise ConfigurationError(f"MCPServer {name}: transport= is 'http' or 'sse', or left out")
    if web["verify"] is not None:
        checked(web["verify"], where=f"MCPServer {name}")
    return Address(target=target, name=name, connect_timeout=connect_timeout, **process, **web)


def _program(command: Sequence[object]) -> str:
    if not command or not all(isinstance(word, str) for word in command):
        raise ConfigurationError("MCPServer: a command is a list of strings such as ['npx', '-y', 'some-server']")
    return PurePath(str(command[0])).name


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"MCPServer({url!r}): a string is the URL of a server (http:// or https://); "
            "to start a process pass its command as a list of arguments, such as ['npx', '-y', 'some-server']"
        )
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"


def _open_object(target: ServerObject, _on_close: Callable[[], None]) -> Opening:
    return Opening(server=target)


def _open_http(url: str, make: Callable[[], ContainedClient], _on_close: Callable[[], None]) -> Opening:
    client = make()
    # No limit on the size of an event: the SDK's 1 MiB loses large results (reference/mcp.md, defect 3).
    return Opening(server=streamable_http_client(url, http_client=client, max_sse_event_size=None), held=client)


def _open_sse(url: str, make: Callable[[], ContainedClient], on_close: Callable[[], None]) -> Opening:
    client = make()
    return Opening(server=sse_streams(url, client, on_close), held=client)


def _open_command(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    on_close: Callable[[], None],
) -> Opening:
    server = StdioServer(command, env=env, cwd=cwd, on_close=on_close)
    return Opening(server=server.streams(), account=server.account)

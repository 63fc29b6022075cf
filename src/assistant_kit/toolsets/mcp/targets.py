"""From what the application names to a way to an MCP server."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer as SDKServer
from mcp.server import Server

from assistant_kit.errors import ConfigurationError
from assistant_kit.toolsets.mcp.contained_http import ContainedClient
from assistant_kit.toolsets.mcp.link import Endpoint, Opening
from assistant_kit.toolsets.mcp.stdio import StdioServer

ServerObject: TypeAlias = SDKServer | Server[Any]
Target: TypeAlias = Sequence[str] | ServerObject


def endpoint(
    target: Target,
    *,
    name: str | None,
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    headers: Mapping[str, str] | None,
    connect_timeout: float,
) -> Endpoint:
    """Tell how to reach a server. Raises ConfigurationError for what is neither of the three kinds."""
    if not isinstance(target, Sequence):
        _refuse(name or target.name, "a server object", env=env, cwd=cwd, headers=headers)
        return Endpoint(
            name=name or target.name,
            open=partial(_open_object, target),
            modes=("auto",),
            connect_timeout=connect_timeout,
            advice="",
        )
    if isinstance(target, str):
        host = _host(target)
        _refuse(name or host, "a URL", env=env, cwd=cwd)
        return Endpoint(
            name=name or host,
            open=partial(_open_url, target, headers),
            modes=("auto",),
            connect_timeout=connect_timeout,
            advice="look whether the server runs, and whether this is its MCP endpoint",
        )
    command = tuple(target)
    if not command or not _all_text(command):
        raise ConfigurationError("MCPServer: a command is a list of strings such as ['npx', '-y', 'some-server']")
    name = name or PurePath(command[0]).name
    _refuse(name, "a command", headers=headers)
    return Endpoint(
        name=name,
        open=partial(_open_command, command, env, cwd),
        modes=("auto", "legacy"),
        connect_timeout=connect_timeout,
        advice="run its command by hand to see more",
    )


def _all_text(command: Sequence[object]) -> bool:
    return all(isinstance(word, str) for word in command)


def _host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"MCPServer({url!r}): a string is the URL of a server (http:// or https://); "
            "to start a process pass its command as a list of arguments, such as ['npx', '-y', 'some-server']"
        )
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"


def _refuse(name: str, what: str, **settings: object) -> None:
    for setting, value in settings.items():
        if value is not None:
            raise ConfigurationError(f"MCPServer {name}: {setting}= does not go with {what}: leave it out")


def _open_object(target: ServerObject, _on_close: Callable[[], None]) -> Opening:
    return Opening(server=target)


def _open_url(url: str, headers: Mapping[str, str] | None, _on_close: Callable[[], None]) -> Opening:
    client = ContainedClient(headers)
    # No limit on the size of an event: the SDK's 1 MiB loses large results (reference/mcp.md, defect 3).
    return Opening(server=streamable_http_client(url, http_client=client, max_sse_event_size=None), held=client)


def _open_command(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: str | Path | None,
    on_close: Callable[[], None],
) -> Opening:
    server = StdioServer(command, env=env, cwd=cwd, on_close=on_close)
    return Opening(server=server.streams(), account=server.account)

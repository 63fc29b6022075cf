"""Servers that want a certificate of their callers, and have one of an authority that nobody else knows."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.toolsets.mcp.contained_http import ContainedClient
from assistant_kit.toolsets.mcp.oauth import client_credentials
from assistant_kit.toolsets.mcp.oauth.server_place import server_place
from assistant_kit.toolsets.mcp.oauth.web import web
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.targets import WebTransport
from tests.toolsets.certificates import Authority
from tests.toolsets.mcp.oauth.guarded_server import guarded_server
from tests.toolsets.mcp.servers.control import ask, context
from tests.toolsets.mcp.servers.fault_desk import Desk, fault_desk
from tests.toolsets.mcp.servers.tool_server import make_server
from tests.toolsets.test_public_only import Names

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def desk(authority: Authority) -> Iterator[Desk]:
    with fault_desk(tls=authority.server()) as desk:
        yield desk


@pytest.mark.parametrize("allow_private", [None, True])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_server_is_shown_the_certificate_that_it_wants(
    authority: Authority, desk: Desk, transport: WebTransport, *, allow_private: bool | None
) -> None:
    url = desk.url(transport)
    server = MCPServer(url, transport=transport, verify=authority.caller(), allow_private=allow_private)
    with anyio.fail_after(20):
        async with server:
            assert (await ask(server, "act")).isdecimal()


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_who_has_no_certificate_or_trusts_others_gets_no_connection(
    authority: Authority, desk: Desk, transport: WebTransport
) -> None:
    for verify in (None, True, authority.stranger()):
        server = MCPServer(desk.url(transport), transport=transport, verify=verify)
        with anyio.fail_after(20), pytest.raises(ToolsetError):
            await server.__aenter__()
    assert desk.requests == []


async def test_the_certificate_is_read_for_each_connection(authority: Authority, desk: Desk) -> None:
    made: list[ssl.SSLContext] = []

    def read() -> ssl.SSLContext:
        made.append(authority.caller())
        return made[-1]

    def headers(user: str | None) -> dict[str, str]:
        return {"x-user": str(user)}

    async with MCPServer(desk.url("http"), headers=headers, verify=read) as server:
        for user in ("ann", "ann", "bob"):
            assert (await server.tools_for(user)).tools
    assert len(made) == 2


def unreadable() -> ssl.SSLContext:
    raise FileNotFoundError("/secret/place.pem")


async def test_a_certificate_that_cannot_be_read_is_one_clear_error(authority: Authority, desk: Desk) -> None:
    with pytest.raises(ToolsetError) as failure:
        await MCPServer(desk.url("http"), name="desk", verify=unreadable).__aenter__()
    assert failure.value.toolset == "desk"
    assert "secret" not in str(failure.value)
    with guarded_server(authority.server()) as guarded:
        auth = client_credentials(guarded.url, client_id="desk", client_secret="hush", verify=unreadable)
        with anyio.fail_after(20), pytest.raises(ToolsetError) as failure:
            await MCPServer(guarded.url, auth=auth, verify=authority.caller()).__aenter__()
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("target", [["server"], make_server()])
def test_a_certificate_is_for_a_url_alone(target: Any) -> None:
    with pytest.raises(ConfigurationError):
        MCPServer(target, verify=True)


@pytest.mark.parametrize("verify", [False, "ca.pem", 3])
def test_nobody_is_trusted_unchecked(verify: Any) -> None:
    with pytest.raises(ConfigurationError):
        MCPServer("https://tools.example/mcp", verify=verify)
    with pytest.raises(ConfigurationError):
        client_credentials("https://tools.example/mcp", client_id="desk", client_secret="hush", verify=verify)


async def test_a_token_is_got_where_a_certificate_is_wanted(authority: Authority) -> None:
    with guarded_server(authority.server()) as guarded, anyio.fail_after(20):
        guarded.clients["desk"] = "hush"
        verify = authority.caller()
        auth = client_credentials(guarded.url, client_id="desk", client_secret="hush", verify=verify)
        async with MCPServer(guarded.url, auth=auth, verify=verify) as server:
            (tool,) = [spec.name for spec in await server.tools()][:1]
            assert (await server.call(tool, {}, context(tool))).content
        assert guarded.kinds() == ["client_credentials"]
        without = client_credentials(guarded.url, client_id="desk", client_secret="hush")
        with pytest.raises(ToolsetError):
            await MCPServer(guarded.url, auth=without, verify=verify).__aenter__()
        assert guarded.kinds() == ["client_credentials"]


class Shown(httpx2.AsyncBaseTransport):
    """Takes requests in place of the network, and notes by which context."""

    by: list[tuple[str, ssl.SSLContext]]

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await anyio.lowlevel.checkpoint()
        self.by.append((request.headers["host"], self._verify))
        return httpx2.Response(200, json={})


async def test_the_certificate_is_not_shown_to_hosts_that_others_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", Names(*[["93.184.216.34"]] * 4).look_up)
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", Shown)
    Shown.by, own = [], authority.caller()
    hosts = ("own.example", "other.example")
    async with ContainedClient(None, trusted=(), host=hosts[0], tls=own) as client:
        for host in hosts:
            await client.post(f"https://{host}/", json={})
    async with web(server_place("https://own.example/mcp", allow_private=False, verify=own)) as send:
        for host in hosts:
            await send(httpx2.Request("GET", f"https://{host}/"))
    assert [(host, verify is own) for host, verify in Shown.by] == [(hosts[0], True), (hosts[1], False)] * 2

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import anyio
import httpx2
import pytest

from assistant_kit.toolsets._public_only import PrivateAddress, PublicOnly, is_public
from assistant_kit.toolsets.mcp.contained_http import ContainedClient
from tests.toolsets.mcp.servers.http_pages import http_pages

pytestmark = pytest.mark.anyio


class Names:
    """A name service that gives one answer after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)

    async def look_up(self, host: str, port: int, *, type: int) -> list[object]:  # noqa: A002  (as anyio names it)
        await anyio.lowlevel.checkpoint()
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")
        return [(0, type, 6, "", (address, port)) for address in self.answers.pop(0)]


class Wire(httpx2.AsyncBaseTransport):
    """Takes requests in place of the network."""

    def __init__(self) -> None:
        self.taken: list[httpx2.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await anyio.lowlevel.checkpoint()
        self.taken.append(request)
        return httpx2.Response(200, text="hello")

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  (an address like the others)
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ],
)
def test_an_address_of_a_private_network_is_not_public_in_any_spelling(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]:8080/", "http://2130706433/", "http://localhost/"])
async def test_what_leads_to_a_private_address_is_refused_before_anything_is_sent(url: str) -> None:
    wire = Wire()
    async with httpx2.AsyncClient(transport=PublicOnly(lambda: wire)) as client:
        with pytest.raises(PrivateAddress):
            await client.get(url)
    assert wire.taken == []


async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(["93.184.216.34"], ["93.184.216.34"], ["93.184.216.34", "127.0.0.1"])
    monkeypatch.setattr(anyio, "getaddrinfo", names.look_up)
    wire = Wire()
    async with httpx2.AsyncClient(transport=PublicOnly(lambda: wire)) as client:
        assert (await client.get("https://login.example:8443/x")).text == "hello"
        assert (await client.get("https://login.example:8443/x")).text == "hello"
        with pytest.raises(PrivateAddress):  # it has another answer the second time
            await client.get("https://login.example:8443/x")
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://unknown.example/")
    sent, _ = wire.taken
    assert str(sent.url) == "https://93.184.216.34:8443/x"
    assert sent.headers["host"] == "login.example:8443"
    assert sent.extensions["sni_hostname"] == "login.example"
    assert wire.closed


async def test_a_client_reaches_the_host_that_the_application_named_and_no_other_private_one() -> None:
    with http_pages() as named, http_pages() as other:
        for endpoint in (named, other):
            endpoint.page = (200, "application/json", "{}")
        elsewhere = other.url.replace("127.0.0.1", "127.0.0.2")
        async with ContainedClient(None, trusted=["127.0.0.1"]) as client:
            assert (await client.post(named.url, json={"method": "x"})).status_code == 200
            refused = await client.post(elsewhere, json={"method": "x"})
            with pytest.raises(PrivateAddress):
                await client.get(elsewhere)
        async with ContainedClient(None) as open_client:
            assert (await open_client.post(named.url, json={"method": "x"})).status_code == 200
            await open_client.aclose()
    assert refused.status_code == 503

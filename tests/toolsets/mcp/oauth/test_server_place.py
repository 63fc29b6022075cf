import httpx2
import pytest

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets._public_only import PrivateAddress
from assistant_kit.toolsets.mcp.oauth.server_place import server_place
from assistant_kit.toolsets.mcp.oauth.web import web


@pytest.mark.parametrize(
    ("server", "url", "admitted"),
    [
        ("https://mcp.example/mcp", "https://login.example/token", True),
        ("https://mcp.example/mcp", "http://login.example/token", False),
        ("https://mcp.example/mcp", "http://localhost/token", False),
        ("http://mcp.example/mcp", "http://mcp.example/token", False),
        ("http://localhost:8000/mcp", "http://127.0.0.1:9000/token", True),
        ("http://localhost:8000/mcp", "http://10.0.0.7/token", True),
        ("http://localhost:8000/mcp", "http://login.example/token", False),
        ("http://10.0.0.7/mcp", "ftp://10.0.0.7/token", False),
    ],
)
def test_secrets_go_by_https_or_stay_in_the_network_of_the_server(server: str, url: str, *, admitted: bool) -> None:
    assert server_place(server, allow_private=False).admits(httpx2.URL(url)) is admitted


def test_a_server_by_an_inner_name_may_be_vouched_for() -> None:
    place = server_place("http://intranet/mcp", allow_private=True)
    assert place.admits(httpx2.URL("http://intranet/token"))
    assert not place.admits(httpx2.URL("http://login.example/token"))


def test_a_place_is_written_the_same_way_however_it_was_given() -> None:
    place = server_place("HTTPS://user:hush@MCP.example/mcp#part", allow_private=False)
    assert (place.url, place.name, place.origin) == ("https://mcp.example/mcp", "mcp.example", "https://mcp.example")


@pytest.mark.anyio
async def test_a_server_on_the_internet_cannot_send_us_into_our_own_network() -> None:
    place = server_place("https://mcp.example/mcp", allow_private=False)
    async with web(place) as send:
        with pytest.raises(ToolsetError) as failure:
            await send(httpx2.Request("GET", "https://127.0.0.1/latest/meta-data"))
    assert isinstance(failure.value.__cause__, PrivateAddress)

import webbrowser

import anyio
import httpx2
import pytest

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets.mcp.oauth import ConsentRequest, Loopback, MCPOAuth
from assistant_kit.toolsets.mcp.oauth.loopback import show
from tests.services.processes import free_port
from tests.toolsets.mcp.oauth.guarded_server import NO_TLS, GuardedServer
from tests.toolsets.mcp.oauth.test_providers import whose

pytestmark = pytest.mark.anyio

REQUEST = ConsentRequest(url="https://login.example", state="s1", server="https://mcp.example", user=None, scope=None)


async def test_the_browser_comes_back_to_this_machine(server: GuardedServer) -> None:
    def browse(url: str) -> None:
        with httpx2.Client(verify=NO_TLS, follow_redirects=True) as browser:
            assert browser.get(url, headers={"x-person": "ada"}).status_code == 200

    consent = Loopback(port=free_port(), browse=browse)
    assert await whose(MCPOAuth(server.url, consent=consent)(), server) == "ada"


async def test_what_else_comes_to_the_port_is_not_the_answer() -> None:
    port = free_port()
    home = f"http://127.0.0.1:{port}"

    def browse(_: str) -> None:
        with httpx2.Client(verify=NO_TLS) as browser:
            assert browser.get(f"{home}/favicon.ico").status_code == 404
            assert browser.get(f"{home}/callback?state=s2&code=c1").status_code == 404
            assert browser.post(f"{home}/callback?state=s1&code=c2").status_code == 404
            assert browser.get(f"{home}/callback?state=s1&code=c3").status_code == 200

    with anyio.fail_after(20):
        assert await Loopback(port=port, browse=browse).ask(REQUEST) == f"{home}/callback?state=s1&code=c3"


async def test_a_visitor_who_says_nothing_or_nonsense_is_not_the_answer() -> None:
    port, listens = free_port(), anyio.Event()
    found: list[str] = []
    loopback = Loopback(port=port, browse=lambda _: anyio.from_thread.run_sync(listens.set))

    async def ask() -> None:
        found.append(await loopback.ask(REQUEST))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await listens.wait()
            async with await anyio.connect_tcp("127.0.0.1", port):
                pass
            async with await anyio.connect_tcp("127.0.0.1", port) as visitor:
                await visitor.send("GET /ä\r\n".encode())
            async with await anyio.connect_tcp("127.0.0.1", port) as visitor:
                await visitor.send(b"x" * 20_000)
            async with await anyio.connect_tcp("127.0.0.1", port) as visitor:
                await visitor.send(b"GET /callback?state=s1 HTTP/1.1\r\n\r\n")
    assert found == [f"http://127.0.0.1:{port}/callback?state=s1"]


async def test_a_port_that_is_in_use_is_an_error() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as taken:
        port = int(taken.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610  (no Django here)
        with pytest.raises(ToolsetError):
            await Loopback(port=port).ask(REQUEST)


def test_the_page_is_shown_and_written_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    show("https://login.example/authorize")
    assert opened == ["https://login.example/authorize"]
    assert "https://login.example/authorize" in capsys.readouterr().err

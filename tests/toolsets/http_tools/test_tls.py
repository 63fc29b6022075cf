"""Servers that want a certificate of their callers, and have one of an authority that nobody else knows."""

import json
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import httpx2
import pytest

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.toolsets.http_tools import HTTPTools
from tests.toolsets.certificates import Authority
from tests.toolsets.http_tools.scripted_server import ADD, ScriptedServer

pytestmark = pytest.mark.anyio


class Handler(BaseHTTPRequestHandler):
    """Offers one tool, and is well."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name above)
        pass

    def do_GET(self) -> None:
        body = json.dumps({"tools": [ADD]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listening(tls: ssl.SSLContext) -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_a_server_is_shown_the_certificate_that_it_wants(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with listening(authority.server()) as url, anyio.fail_after(20):
        for verify in (authority.caller(), authority.caller):
            async with HTTPTools(url, verify=verify) as tools:
                assert [spec.name for spec in await tools.tools()] == ["add"]
                assert (await tools.check()).available


async def test_who_has_no_certificate_or_trusts_others_gets_no_tools(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with listening(authority.server()) as url, anyio.fail_after(20):
        for verify in (None, True, authority.stranger()):
            with pytest.raises(ToolsetError):
                await HTTPTools(url, verify=verify).__aenter__()


async def test_a_certificate_that_cannot_be_read_is_one_clear_error() -> None:
    def unreadable() -> ssl.SSLContext:
        raise FileNotFoundError("/secret/place.pem")

    with pytest.raises(ToolsetError) as failure:
        await HTTPTools("https://tools.example", verify=unreadable).__aenter__()
    assert failure.value.toolset == "tools.example"
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("verify", [False, "ca.pem"])
def test_nobody_is_trusted_unchecked(verify: Any) -> None:
    with pytest.raises(ConfigurationError):
        HTTPTools("https://tools.example", verify=verify)


def test_what_carries_the_requests_has_the_certificate_itself() -> None:
    with pytest.raises(ConfigurationError):
        HTTPTools("https://x", transport=httpx2.MockTransport(ScriptedServer().handle), verify=True)

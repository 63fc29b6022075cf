"""Who can call a service by TLS, and who is refused."""

import shutil
import ssl
from asyncio import BaseTransport
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.streams.tls import TLSAttribute

from examples.flask_demo import certificates, serving
from examples.flask_demo.serving import ServerTLS
from examples.flask_demo.tls import TLSError, client_context, peer_names, server_context
from tests.examples.web.tls.service import MUCH, running, tools_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def tools(anyio_backend: str, folder: Path) -> AsyncIterator[str]:
    """Return where a tool server listens; tests of this file share it."""
    del anyio_backend
    async with running(tools_of(folder)) as where:
        yield where


async def answer(where: str, context: ssl.SSLContext, **headers: str) -> httpx2.Response:
    with anyio.fail_after(20):
        async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
            return await client.get(f"https://{where}/", headers=headers)


async def test_a_caller_that_is_allowed_is_answered_by_tls_1_3(tools: str, folder: Path) -> None:
    context = client_context(folder, "orchestrator")
    assert (await answer(tools, context)).text == "hello"
    host, port = tools.split(":")
    async with await anyio.connect_tcp(host, int(port), ssl_context=context, tls_hostname=host) as stream:
        assert stream.extra(TLSAttribute.tls_version, "") == "TLSv1.3"  # noqa: S610 - no extra() of Django


async def test_a_caller_without_a_certificate_is_refused(tools: str, folder: Path) -> None:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    with pytest.raises(httpx2.TransportError):
        await answer(tools, context)


async def test_a_caller_with_a_certificate_of_another_ca_is_refused(tools: str, folder: Path, others: Path) -> None:
    context = client_context(others, "orchestrator")
    context.load_verify_locations(folder / "ca.pem")
    with pytest.raises(httpx2.TransportError):
        await answer(tools, context)


async def test_a_server_of_another_ca_is_not_called(folder: Path, others: Path) -> None:
    async with running(tools_of(others)) as where:
        with pytest.raises(httpx2.ConnectError):
            await answer(where, client_context(folder, "orchestrator"))


async def test_tls_1_2_is_refused(tools: str, folder: Path) -> None:
    context = client_context(folder, "orchestrator")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx2.ConnectError):
        await answer(tools, context)


async def test_while_the_ca_is_replaced_certificates_of_both_are_taken(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    certificates.make(before)
    certificates.add_authority(before)
    shutil.copytree(before, after)
    certificates.renew(after)
    for server, caller in ((before, after), (after, before)):
        async with running(tools_of(server)) as where:
            assert (await answer(where, client_context(caller, "orchestrator"))).text == "hello"


async def test_a_service_that_may_not_call_this_one_gets_403(tools: str, folder: Path) -> None:
    refused = await answer(tools, client_context(folder, "frontend"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")


async def test_a_service_that_may_not_call_this_one_gets_no_websocket_either(tools: str, folder: Path) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert (await answer(tools, client_context(folder, "frontend"), **upgrade)).status_code == 403


async def test_a_certificate_for_being_called_calls_nobody(folder: Path) -> None:
    async with running(ServerTLS(directory=folder, name="orchestrator", allowed=("tools",))) as where:
        with pytest.raises(httpx2.TransportError):
            await answer(where, client_context(folder, "tools"))


@pytest.mark.parametrize("keep_alive", [600, 0])  # still open at the end, or closed by this side alone
async def test_a_caller_that_keeps_a_connection_does_not_hold_up_the_end(folder: Path, keep_alive: int) -> None:
    async with httpx2.AsyncClient(verify=client_context(folder, "orchestrator"), trust_env=False) as client:
        with anyio.fail_after(20):
            async with running(tools_of(folder), grace=600, keep_alive=keep_alive) as where:
                assert (await client.get(f"https://{where}/")).text == "hello"


async def test_a_caller_that_reads_late_gets_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FAREWELL", 0.1)
    context = client_context(folder, "orchestrator")
    with anyio.fail_after(20):
        async with running(tools_of(folder)) as where:
            host, port = where.split(":")
            connect = anyio.connect_tcp(host, int(port), ssl_context=context, tls_hostname=host)
            async with await connect as stream:
                await stream.send(b"GET /much HTTP/1.1\r\nHost: tools\r\nConnection: close\r\n\r\n")
                later = anyio.current_time() + 0.5
                while anyio.current_time() < later:
                    await answer(where, context)
                read = b"".join([piece async for piece in stream])
            assert read.partition(b"\r\n\r\n")[2].count(b"\0") == len(MUCH)


async def test_without_a_folder_of_certificates_it_is_plain_http() -> None:
    async with running(None) as where, httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://{where}/")).text == "hello"


@pytest.mark.parametrize("missing", ["ca.pem", "tools.pem", "tools-key.pem"])
async def test_a_file_that_is_missing_is_named(folder: Path, tmp_path: Path, missing: str) -> None:
    for file in {"ca.pem", "tools.pem", "tools-key.pem"} - {missing}:
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    with pytest.raises(TLSError, match=missing):
        server_context(tmp_path, "tools")


async def test_a_key_of_another_certificate_is_an_error(folder: Path, tmp_path: Path) -> None:
    for file, source in {"ca.pem": "ca.pem", "tools.pem": "tools.pem", "tools-key.pem": "frontend-key.pem"}.items():
        (tmp_path / file).write_bytes((folder / source).read_bytes())
    with pytest.raises(TLSError):
        server_context(tmp_path, "tools")


def test_without_tls_nobody_has_a_name() -> None:
    assert peer_names(BaseTransport()) == frozenset()

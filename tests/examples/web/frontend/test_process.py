"""The front end as a process of its own, under gunicorn: sockets, streams, and how it ends."""

import socket
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2
import pytest
from anyio import to_thread
from starlette.responses import StreamingResponse

from examples.flask_demo.frontend.__main__ import main
from examples.flask_demo.frontend.server import GRACE
from tests.examples.web.frontend.processes import Running, running
from tests.examples.web.frontend.surroundings import Recorder

SOCKET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def process(
    valkey_url: str, issuer: str, running_recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("process"), valkey_url, issuer, running_recorder.url) as made:
        yield made


@contextmanager
def knocking(made: Running, headers: Mapping[str, str]) -> Generator[tuple[int, BinaryIO]]:
    """Ask for a socket as a browser does; the status of the answer, and what comes after its head."""
    asked = {
        "Host": f"localhost:{made.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **headers,
    }
    lines = (f"GET {SOCKET} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items()), "", "")
    with socket.create_connection(("127.0.0.1", made.port), timeout=GRACE - 1) as connection:
        connection.sendall("\r\n".join(lines).encode())
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            while answer.readline().strip():
                pass
            yield status, answer


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_a_socket_of_another_origin_is_refused(process: Running, origin: str) -> None:
    with knocking(process, {**process.signed_in(), "Origin": origin}) as (status, _):
        assert status == 400


def test_a_socket_of_our_page_is_opened(process: Running) -> None:
    with knocking(process, {**process.signed_in(), "Origin": process.url}) as (status, answer):
        assert status == 101
        _, length = answer.read(2)
        assert answer.read(length).startswith(b"0{")


def test_a_request_is_in_the_log_with_its_id_and_without_its_secrets(process: Running) -> None:
    given = "ab" * 16
    headers = {**process.signed_in(), "X-Request-ID": given}
    httpx2.get(f"{process.url}/api/v1/usage?secret=1", headers=headers, trust_env=False)

    (record,) = [record for record in process.records() if record.get("request_id") == given]

    assert (record["event"], record["service"], record["level"]) == ("request", "frontend", "info")
    assert (record["method"], record["route"], record["status"]) == ("GET", "/api/v1/<path:path>", 200)
    text = process.log.read_text()
    assert not [word for word in ("secret", "Ann", headers["Cookie"].partition("=")[2]) if word in text]


def test_a_front_end_that_is_told_to_end_does_so_while_streams_are_read(
    valkey_url: str, issuer: str, upstream: Recorder, tmp_path: Path
) -> None:
    never = threading.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"id: 1\nevent: token\ndata: {}\n\n"
        await to_thread.run_sync(never.wait, 30)

    upstream.answer = lambda _: StreamingResponse(events(), media_type="text/event-stream")
    with running(tmp_path, valkey_url, issuer, upstream.url) as made:
        cookies = made.signed_in()
        try:
            with (
                knocking(made, {**cookies, "Origin": made.url}) as (status, answer),
                httpx2.Client(base_url=made.url, headers=cookies, trust_env=False, timeout=20) as http,
                http.stream("GET", "/api/v1/conversations/c_1/events") as response,
            ):
                pieces = response.iter_raw()
                assert (status, next(pieces)[:5]) == (101, b"id: 1")
                made.process.terminate()
                list(pieces)
                answer.read()
                assert made.process.wait(20) == 0
        finally:
            never.set()


@pytest.mark.parametrize(
    ("name", "value"), [("LISTEN", "nowhere"), ("TLS_DIR", "/nowhere"), ("SIGNING_KEYS_FILE", "/dev/null/keys")]
)
def test_what_is_wrong_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    told = {
        "LISTEN": "127.0.0.1:8000",
        "ADMIN_LISTEN": "127.0.0.1:8001",
        "PUBLIC_URL": "http://localhost:8000",
        "ORCHESTRATOR_URLS": "http://127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1",
        "OIDC_ISSUER": "http://localhost:8090",
        "OIDC_CLIENT_ID": "web",
        "SIGNING_KEYS_FILE": str(tmp_path / "keys.pem"),
        name: value,
    }
    for one, text in told.items():
        monkeypatch.setenv(one, text)

    assert main([]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("frontend: ")
    assert value in line

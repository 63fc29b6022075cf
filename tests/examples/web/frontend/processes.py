"""Front ends that run as processes of their own, under gunicorn."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.examples.web.frontend.surroundings import SECRET, typed
from tests.services.processes import ending_with_us, free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A front end that runs."""

    process: subprocess.Popen[bytes]
    port: int
    admin: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def signed_in(self) -> Mapping[str, str]:
        """Return the headers of a browser in which somebody has signed in."""
        return signed_in(self.url)

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def running(
    folder: Path, redis_url: str, issuer: str, upstream: str, public_url: str | None = None
) -> Generator[Running]:
    """Run a front end, at an address of its own or behind another one."""
    port, admin = free_port(), free_port()
    told = {
        "LISTEN": f"127.0.0.1:{port}",
        "ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "PUBLIC_URL": public_url or f"http://localhost:{port}",
        "ORCHESTRATOR_URLS": upstream,
        "REDIS_URL": redis_url,
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": "web",
        "OIDC_CLIENT_SECRET": SECRET,
        "SIGNING_KEYS_FILE": str(folder / "keys.pem"),
    }
    log = folder / f"log-{port}"
    command = [*ending_with_us(signal.SIGTERM), sys.executable, "-m", "examples.flask_demo.frontend"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | told, stderr=output, stdout=output)
    try:
        made = Running(process=process, port=port, admin=f"http://127.0.0.1:{admin}", log=log)
        _wait_until_ready(made)
        yield made
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def _wait_until_ready(made: Running) -> None:
    give_up = time.monotonic() + 60
    with httpx2.Client(trust_env=False) as http:
        while True:
            with suppress(httpx2.TransportError):
                if http.get(f"{made.admin}/ready").status_code == 200:
                    return
            assert made.process.poll() is None, made.log.read_text()
            assert time.monotonic() < give_up, made.log.read_text()
            threading.Event().wait(0.05)


def signed_in(url: str) -> Mapping[str, str]:
    """Sign somebody in, by a connection for each request; the headers of their browser."""
    alone = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(base_url=url, trust_env=False, limits=alone) as http:
        begun = http.get("/sign-in/start")
        cookie = begun.headers["Set-Cookie"].partition(";")[0]
        back = urlsplit(typed(begun.headers["Location"], "Ann"))
        done = http.get(f"{back.path}?{back.query}", headers={"Cookie": cookie})
        return {"Cookie": done.headers["Set-Cookie"].partition(";")[0]}

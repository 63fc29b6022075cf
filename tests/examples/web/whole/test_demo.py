"""The one command: it starts everything, says where, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from examples.flask_demo.machine.servers import free_ports

ROOT = Path(__file__).parents[4]
COMMAND = (sys.executable, "-m", "examples.flask_demo")


def environment(data: Path) -> dict[str, str]:
    named = ("DATABASE_URL", "REDIS_URL", "OPENAI_")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(named)}, "WEB_DATA": str(data)}


@pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")
def test_one_command_starts_everything_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with subprocess.Popen(
        [*COMMAND, "--port", str(port)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment(tmp_path)
    ) as program:
        assert program.stdout is not None
        told = [program.stdout.readline(), program.stdout.readline()]
        assert told[0] == "Starting…\n"
        found = re.match(rf"Ready: (http://localhost:{port}) ", told[1])
        assert found is not None, told
        assert httpx2.get(f"{found[1]}/sign-in").status_code == 200
        started = belonging_to(tmp_path)
        assert len(started) >= 7  # Redis, identity, three tool servers, an orchestrator, the front end and its worker

        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 0
        assert program.stdout.read() == "Stopping…\nStopped.\n"
    patience_ends = time.monotonic() + 10
    while left := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < patience_ends, left
        time.sleep(0.05)


@pytest.mark.parametrize("port", ["0x1", "99999999"])
def test_a_port_that_cannot_be_is_one_clear_error(port: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--port", port], capture_output=True, text=True, cwd=ROOT, env=environment(tmp_path), check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "port" in done.stdout + done.stderr


def belonging_to(data: Path) -> list[int]:
    """Return the processes whose environment or command names the data folder."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            known = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        if str(data).encode() in known and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found

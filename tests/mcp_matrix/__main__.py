"""The command behind scripts/mcp-matrix."""

import argparse
import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.mcp_matrix.servers import SERVERS, Transport
from tests.mcp_matrix.trial import trial

SIDE_BY_SIDE = 2
LOOPS = ("asyncio", "trio")


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A server over a transport, with the adapter on an event loop."""

    server: str
    transport: Transport
    loop: str

    def __str__(self) -> str:
        return f"{self.server} {self.transport} {self.loop}"


def in_process(chosen: Trial) -> bool:
    """Make a trial in a process of its own, whose only child is the server."""
    line = [sys.executable, "-m", "tests.mcp_matrix", "--one", *str(chosen).split()]
    begun = time.monotonic()
    ended = subprocess.run(line, check=False, capture_output=True, text=True)
    passed = ended.returncode == 0
    say(f"{'passed' if passed else 'FAILED'} {chosen} {time.monotonic() - begun:.1f} s")
    if not passed:
        say(ended.stderr[-4000:])
    return passed


def here(name: str, transport: Transport, loop: str) -> None:
    """Make one trial."""
    logging.disable()
    (server,) = [server for server in SERVERS if server.name == name]
    with TemporaryDirectory() as folder:
        anyio.run(partial(trial, server, transport, Path(folder)), backend=loop)


def main() -> int:
    """Make all trials and print the figures; 1 if one fails."""
    parser = argparse.ArgumentParser(prog="scripts/mcp-matrix", description=__doc__)
    parser.add_argument("--only", default="", help="only trials that have this text in their name")
    parser.add_argument("--one", nargs=3, metavar=("SERVER", "TRANSPORT", "LOOP"), help="one trial, in this process")
    given = parser.parse_args()
    if given.one:
        here(*given.one)
        return 0
    begun = time.monotonic()
    trials = [
        Trial(server=server.name, transport=transport, loop=loop)
        for server in SERVERS
        for transport in server.starts
        for loop in LOOPS
    ]
    chosen = [one for one in trials if given.only in str(one)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        passed = list(pool.map(in_process, chosen))
    servers = len({one.server for one in chosen})
    say(f"servers={servers} trials={len(passed)} failed={passed.count(False)} seconds={time.monotonic() - begun:.0f}")
    return int(not all(passed) or not passed)


if __name__ == "__main__":
    sys.exit(main())

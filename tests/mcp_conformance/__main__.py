"""The command behind scripts/conformance."""

import argparse
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory

import anyio

from tests.mcp_conformance.suite import Scenario, Verdict, run, scenarios
from tests.services.processes import ending_with_us, free_port, running
from tests.toolsets.mcp.servers.control import listens

SIDE_BY_SIDE = 2


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def served(log: Path) -> Generator[str]:
    """Serve tools in a process of its own; gives the URL."""
    port = free_port()
    line = [sys.executable, "-m", "tests.integrations.serving.conformance_server", str(port)]
    with running([*ending_with_us(SIGKILL), *line], stop=SIGKILL, log=log, answers=lambda: listens(port)):
        yield f"http://127.0.0.1:{port}/mcp"


async def run_all(chosen: Sequence[Scenario], results: Path, *, url: str) -> list[Verdict]:
    """Run scenarios, some at a time; `url` is that of the server under test."""
    verdicts: list[Verdict] = []
    limiter = anyio.CapacityLimiter(SIDE_BY_SIDE)

    async def one(scenario: Scenario) -> None:
        async with limiter:
            verdict = await run(scenario, results, url=url)
        verdicts.append(verdict)
        say(f"{'passed' if verdict.passed else 'FAILED' if scenario.required else 'not passed'} {scenario}")

    async with anyio.create_task_group() as group:
        for scenario in chosen:
            group.start_soon(one, scenario)
    return verdicts


def main() -> int:
    """Run the suite's scenarios and print the figures; 1 if one that is required fails."""
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=__doc__)
    parser.add_argument("--side", choices=("client", "server"), default="client", help="what is tested")
    parser.add_argument("--only", default="", help="only scenarios that have this text in their name")
    parser.add_argument("--loop", choices=("asyncio", "trio"), default="asyncio", help="the client's event loop")
    parser.add_argument("--report", action="store_true", help="print what the suite says of those that do not pass")
    given = parser.parse_args()
    os.environ["CONFORMANCE_LOOP"] = given.loop
    begun = time.monotonic()
    chosen = [scenario for scenario in scenarios(given.side) if given.only in str(scenario)]
    with TemporaryDirectory() as folder, ExitStack() as servers:
        url = servers.enter_context(served(Path(folder) / "server.log")) if given.side == "server" else ""
        verdicts = anyio.run(partial(run_all, chosen, Path(folder), url=url))
    if given.report:
        for verdict in verdicts:
            if not verdict.passed:
                say(f"\n--- {verdict.scenario}\n{verdict.report}")
    required = [verdict for verdict in verdicts if verdict.scenario.required]
    failed = sum(not verdict.passed for verdict in required)
    others = [verdict for verdict in verdicts if not verdict.scenario.required]
    say(
        f"required={len(required)} failed={failed} others={len(others)} "
        f"others_passed={sum(verdict.passed for verdict in others)} seconds={time.monotonic() - begun:.0f}"
    )
    return int(failed > 0 or not required)


if __name__ == "__main__":
    sys.exit(main())

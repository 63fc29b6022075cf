"""The command behind scripts/mcp-cycles."""

import argparse
import asyncio
import gc
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import trio

from tests.mcp_cycles.cycles import Tally, Transport, run_cycles
from tests.soak.resources import Standing

SHOWN = 20
SETTLE = 5.0  # seconds in which what has been told to end has to end
TRANSPORTS: tuple[Transport, ...] = ("stdio", "http")


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the cycles, print what is wrong and the figures; 1 if anything is left or wrong."""
    parser = argparse.ArgumentParser(prog="scripts/mcp-cycles", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--backend", choices=["asyncio", "trio"], help="default: half of the cycles on each")
    given = parser.parse_args()
    logging.disable()  # connections that end say so
    warnings.simplefilter("error")
    settings = list(product([given.backend] if given.backend else ["asyncio", "trio"], TRANSPORTS))
    begun, tally, tasks, files = time.monotonic(), Tally(say=_say_some()), 0, 0
    for index, (backend, transport) in enumerate(settings):
        share = given.cycles // len(settings) + (index < given.cycles % len(settings))
        random = Random(f"{given.seed} {backend} {transport}")
        anyio.run(partial(_left, transport, 2, random, tally), backend=backend)  # what is loaded once is no leak
        tally.cycles -= 2
        before = Standing.now()
        tasks += anyio.run(partial(_left, transport, share, random, tally), backend=backend)
        files += Standing.now().beyond(before)
        say(f"{backend} {transport}: {share} cycles")
    processes = len(tally.left) + _children()
    seconds = time.monotonic() - begun
    say(
        f"cycles={tally.cycles} calls={tally.calls} unknown={tally.unknown} wrong={tally.wrong} seconds={seconds:.0f} "
        f"leaked_processes={processes} leaked_tasks={tasks} leaked_fds={files}"
    )
    return int(processes + tasks + files + tally.wrong > 0 or tally.cycles != given.cycles)


async def _left(transport: Transport, cycles: int, random: Random, tally: Tally) -> int:
    """Run cycles, and return how many tasks they have left behind."""
    before = _tasks()
    with TemporaryDirectory() as folder:
        await run_cycles(transport, cycles, random, tally, Path(folder))
    with anyio.move_on_after(SETTLE):
        while _tasks() > before or tally.left:  # noqa: ASYNC110  (nobody tells of their end)
            await anyio.sleep(0.01)
    return max(0, _tasks() - before)


def _tasks() -> int:
    gc.collect()
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        statistics: Any = trio.lowlevel.current_statistics()
        return statistics.tasks_living


def _children() -> int:
    """Count the processes that this one has started and that are still there, if only because nobody has waited."""
    parents = [(path, path.read_text().rpartition(")")[2].split()[1]) for path in Path("/proc").glob("[0-9]*/stat")]
    return sum(parent == str(os.getpid()) for _, parent in parents)


def _say_some() -> Callable[[str], None]:
    left = iter(range(SHOWN))
    return lambda text: None if next(left, None) is None else say(f"WRONG {text}")


if __name__ == "__main__":
    sys.exit(main())

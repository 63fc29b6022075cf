"""CPU time of a turn and of a streamed token: assistant_kit beside a hand-written loop on the openai client.

turn   4 requests with 6 async tool calls, not streamed
token  one streamed request of 2,000 tokens, one event each, as fast as they come

`python -m benchmarks stores --help`: what a journal costs, store by store, and beside other libraries'.
`python -m benchmarks memory --help`: how fast memories are recalled, beside plain queries of sqlite-vec and pgvector.
`python -m benchmarks window --help`: what it costs to fill a context window from a long journal.
`python -m benchmarks retrieval --help`: how well passages are found, by words, by vectors and by both.
`python -m benchmarks cache --help`: how much of the requests a provider's prompt cache would serve.
`python -m benchmarks policies --help`: what the policies around calls cost.
`python -m benchmarks mcp --help`: what a call of an MCP server's tool costs, beside the official SDK's client.

Peers: `typed`, a hand-written loop on AsyncOpenAI with its typed objects; `floor`, the same client at its low level;
`kit`, assistant_kit with its store in memory and on SQLite. The server is a process of its own. Ratios are medians of
paired repeats, with minimum and maximum. Exits with 1 if an answer is wrong, never because of a time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from benchmarks import cache, mcp_calls, memory_recall, policies, retrieval, stores, window
from benchmarks.floor import open_floor
from benchmarks.measure import Ratio, WrongAnswer, measure, ratio
from benchmarks.peer import OpenPeer, Peer
from benchmarks.server import running_server
from benchmarks.typed import open_typed
from benchmarks.workload import TOKENS, Wire, Work

WIRES: tuple[Wire, ...] = ("chat", "responses")
WORKS: tuple[Work, ...] = ("turn", "token")
TARGETS: Mapping[tuple[Work, Wire], float] = {
    ("turn", "chat"): 0.5,
    ("turn", "responses"): 0.3,
    ("token", "chat"): 0.15,
    ("token", "responses"): 0.15,
}
"""What kit over typed is to be at most."""

OTHERS: Mapping[str, Callable[[list[str]], int]] = {
    "cache": cache.main,
    "mcp": mcp_calls.main,
    "memory": memory_recall.main,
    "policies": policies.main,
    "retrieval": retrieval.main,
    "stores": stores.main,
    "window": window.main,
}
"""Benchmarks with arguments of their own."""


def peers_to_open(folder: Path | None) -> dict[str, OpenPeer]:
    """The peers there are, by name."""
    opened: dict[str, OpenPeer] = {"typed": open_typed, "floor": open_floor}
    if util.find_spec("benchmarks.kit") is None:
        print("benchmarks/kit.py does not exist yet: measuring typed and floor only", file=sys.stderr)
        return opened
    open_kit = cast("Callable[..., AbstractAsyncContextManager[Peer]]", import_module("benchmarks.kit").open_kit)
    opened["kit memory"] = partial(open_kit, store="memory:")
    opened["kit sqlite"] = partial(_open_kit_on_file, open_kit, folder)
    return opened


@asynccontextmanager
async def _open_kit_on_file(
    open_kit: Callable[..., AbstractAsyncContextManager[Peer]], folder: Path | None, base_url: str, wire: Wire
) -> AsyncGenerator[Peer]:
    with TemporaryDirectory(dir=folder) as own:
        async with open_kit(base_url, wire, store=f"sqlite:///{own}/kit.db") as peer:
            yield peer


def table(work: Work, wire: Wire, times: Mapping[str, list[float]]) -> str:
    """The figures of one workload on one wire format."""
    target = TARGETS[work, wire]
    lines = [f"{work}, {wire} (target: kit at most {target} of typed)"]
    lines.append(
        f"  {'peer':12}{'CPU ms':>10}{'µs/token':>10}{'of typed':>10}{'min-max':>14}{'of floor':>10}{'min-max':>14}"
    )
    for name, values in times.items():
        milliseconds = statistics.median(values) * 1000
        per_token = f"{milliseconds * 1000 / TOKENS:10.1f}" if work == "token" else f"{'':10}"
        of_typed, of_floor = ratio(values, times["typed"]), ratio(values, times["floor"])
        met = _verdict(of_typed, target) if name.startswith("kit") else ""
        lines.append(f"  {name:12}{milliseconds:10.2f}{per_token}{_columns(of_typed)}{_columns(of_floor)}{met}")
    return "\n".join(lines)


def _columns(value: Ratio) -> str:
    return f"{value.median:10.3f}{f'{value.low:.2f}-{value.high:.2f}':>14}"


def _verdict(value: Ratio, target: float) -> str:
    return "  met" if value.median <= target else "  MISSED"


def summary(work: Work, wire: Wire, times: Mapping[str, list[float]]) -> dict[str, float]:
    """Ratios to typed; `_ratio` is the kit with its store in memory."""
    names = {"floor": "floor", "kit memory": "ratio", "kit sqlite": "sqlite_ratio"}
    return {
        f"{work}_{wire}_{label}": ratio(times[name], times["typed"]).median
        for name, label in names.items()
        if name in times
    }


async def run(works: tuple[Work, ...], repeats: int, folder: Path | None) -> dict[str, float]:
    """Measure, print a table each, return the summary."""
    ratios: dict[str, float] = {}
    with running_server() as base_url:
        openers = peers_to_open(folder)
        for work in works:
            for wire in WIRES:
                async with AsyncExitStack() as stack:
                    peers = {
                        name: await stack.enter_async_context(open_peer(base_url, wire))
                        for name, open_peer in openers.items()
                    }
                    times = await measure(peers, work, repeats)
                print(table(work, wire, times), end="\n\n", flush=True)
                ratios |= summary(work, wire, times)
    return ratios


def main() -> int:
    """Parse the command line, measure, and print the line of ratios last."""
    if sys.argv[1:2] and sys.argv[1] in OTHERS:
        return OTHERS[sys.argv[1]](sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="?", choices=[*WORKS, "all"], default="all")
    parser.add_argument("--repeats", type=int, default=9, help="paired repeats (default: 9)")
    parser.add_argument("--folder", type=Path, default=None, help="where the SQLite file lies while it is measured")
    args = parser.parse_args()
    works = WORKS if args.work == "all" else (cast("Work", args.work),)
    try:
        ratios = asyncio.run(run(works, args.repeats, args.folder))
    except WrongAnswer as error:
        print(f"wrong answer: {error}", file=sys.stderr)
        return 1
    print(" ".join(f"{name}={value:.3f}" for name, value in ratios.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

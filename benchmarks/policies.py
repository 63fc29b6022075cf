"""What policies cost: `python -m benchmarks policies --help` says what is measured."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from assistant_kit import Bulkhead, Fallback, Hedge, MemoryState, OpenAIChat, Policies, Quota, Quotas, RateLimit
from benchmarks.kit import open_kit
from benchmarks.measure import WrongAnswer, measure, ratio
from benchmarks.server import running_server
from benchmarks.workload import Wire, Work

DESCRIPTION = """\
CPU of a turn (4 requests with 6 tool calls, not streamed) and of an answer of 2,000 streamed tokens, with the store in
memory: with the default policies, and with every policy there is (quota, bulkhead, fallback, hedge and rate limit
beside them, all in this process), over the same with none. The last line has the ratios; the target of the default ones
is 1.1.
"""
WIRES: tuple[Wire, ...] = ("chat", "responses")
WORKS: tuple[Work, ...] = ("turn", "token")


def none(_: str) -> Policies:
    """No policy."""
    return Policies(retry=None, breaker=None, timeouts=None)


def usual(_: str) -> Policies:
    """The default ones."""
    return Policies()


def every(base_url: str) -> Policies:
    """All there are."""
    return Policies(
        quotas=Quotas(Quota("daily", limit=10**12, unit="tokens", window="day"), state=MemoryState()),
        bulkhead=Bulkhead(64),
        fallback=Fallback(OpenAIChat("backup", base_url=base_url, api_key="none")),
        hedge=Hedge(after=30.0),
        rate_limit=RateLimit(requests_per_minute=10**7, tokens_per_minute=10**12),
    )


CHOICES: dict[str, Callable[[str], Policies]] = {"none": none, "usual": usual, "every": every}


async def run(repeats: int) -> dict[str, float]:
    """Measure, print a line each, and return the ratios."""
    ratios: dict[str, float] = {}
    with running_server() as base_url:
        for work in WORKS:
            for wire in WIRES:
                async with AsyncExitStack() as stack:
                    peers = {
                        name: await stack.enter_async_context(
                            open_kit(base_url, wire, store="memory:", policies=policies(base_url))
                        )
                        for name, policies in CHOICES.items()
                    }
                    times = await measure(peers, work, repeats)
                for name, values in times.items():
                    over = ratio(values, times["none"])
                    milliseconds = statistics.median(values) * 1000
                    spread = f"{over.low:.2f}-{over.high:.2f}"
                    print(f"{work:6}{wire:10}{name:8}{milliseconds:9.2f} ms{over.median:8.3f}  ({spread})", flush=True)
                    ratios[f"{work}_{wire}_{name}"] = over.median
    return ratios


def main(arguments: list[str]) -> int:
    """Parse the command line, measure, and print the line of ratios last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks policies",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=9, help="paired repeats (default: 9)")
    try:
        ratios = asyncio.run(run(parser.parse_args(arguments).repeats))
    except WrongAnswer as error:
        print(f"wrong answer: {error}", file=sys.stderr)
        return 1
    print(" ".join(f"{name}={value:.3f}" for name, value in ratios.items() if not name.endswith("_none")))
    return 0

"""What a journal costs: `python -m benchmarks stores --help` says what is measured and what the last line means."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import anyio

from assistant_kit import Assistant
from assistant_kit.protocols.store import Store
from assistant_kit.stores.projected import ProjectedStore
from benchmarks.measure import Ratio, ratio
from benchmarks.store_peers import PEERS, measure_peers, peers_python, peers_table
from benchmarks.store_places import opened_stores
from benchmarks.store_rows import PROJECTIONS
from benchmarks.store_turns import assistant_on, fill, play

DESCRIPTION = """\
What a journalled turn costs, with a model and a tool that answer at once. CPU is that of the client's process, user and
system, all its threads; a server's own is not counted. Stores are as durable as their defaults: each commit of SQLite,
Postgres and Redis is on disk before it is acknowledged. Peers take turns within each repeat; figures are medians.

stores  a plain turn and a turn of one tool call (effect `once`), each in a new conversation, on every store
length  a plain turn at turn 10, 1,000 and 100,000 of one conversation, its window full each time
projected  a plain turn with a row of the application for each record (ProjectedStore), beside one without
group   turns per second with 1, 10 and 100 concurrent conversations
peers   400 turns of one conversation beside openai-agents' SQLiteSession and LangGraph's AsyncSqliteSaver, all of the
        conversation in each request; they are installed with pip in an environment of their own (BENCH_PEERS)

The last line:
  sqlite_ratio postgres_ratio redis_ratio   CPU of the turn with a tool call, over the same on memory:
  flat_sqlite flat_postgres                 CPU of a turn at 10, 1,000, 100,000: the highest over the lowest
  projected_sqlite projected_postgres       CPU of a plain turn with rows of the application, over one without
  group_sqlite_100 group_postgres_100       turns per second of 100 concurrent conversations, over those of one
  agents_ratio langgraph_ratio              CPU of assistant_kit over theirs at turn 400, both on SQLite
  seconds                                   of the measurements: 254 on two cores that had much else to do
"""
PARTS = ("stores", "length", "projected", "group", "peers")
LENGTHS = (10, 1_000, 100_000)
CROWDS: Mapping[int, int] = {1: 60, 10: 200, 100: 600}
"""Turns that are measured with so many conversations at once."""

T = TypeVar("T")
_TURNS = 25  # in each repeat


@dataclass(slots=True)
class Times:
    """Seconds of one turn, by repeat."""

    cpu: list[float] = field(default_factory=list[float])
    wall: list[float] = field(default_factory=list[float])


async def timed(work: Callable[[], Awaitable[None]], turns: int, into: Times) -> None:
    """Do work that is so many turns, and note what one of them took."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    into.cpu.append((time.process_time() - cpu) / turns)
    into.wall.append((time.perf_counter() - wall) / turns)


def rotated(places: Sequence[T], by: int) -> Sequence[T]:
    """Begin at another place each time."""
    shift = by % len(places)
    return [*places[shift:], *places[:shift]]


async def measure_stores(stores: Mapping[str, Store], repeats: int) -> dict[str, float]:
    """Part `stores`."""
    assistants = {name: assistant_on(store) for name, store in stores.items()}
    await _measure_kind("plain turn", assistants, repeats, tools=False)
    ratios = await _measure_kind("turn with one tool call", assistants, repeats, tools=True)
    return {f"{name}_ratio": ratios[name] for name in ("sqlite", "postgres", "redis")}


async def _measure_kind(
    title: str, assistants: Mapping[str, Assistant[str]], repeats: int, *, tools: bool
) -> dict[str, float]:
    names = (f"{title}-{number}" for number in count())

    async def some(assistant: Assistant[str]) -> None:
        for _ in range(_TURNS):
            await play(assistant, next(names), tools=tools)

    times = {name: Times() for name in assistants}
    for repeat in range(repeats + 1):
        for name in rotated(list(assistants), repeat):
            kept = times[name] if repeat else Times()  # the first one warms up
            await timed(partial(some, assistants[name]), _TURNS, kept)
    memory = times["memory"]
    print(f"{title}: milliseconds, and times memory")
    print(f"  {'store':14}{'CPU':>9}{'ratio':>9}{'min-max':>14}{'wall':>9}{'ratio':>9}")
    for name, taken in times.items():
        cpu = f"{_milliseconds(taken.cpu)}{_spread(ratio(taken.cpu, memory.cpu))}"
        print(f"  {name:14}{cpu}{_milliseconds(taken.wall)}{ratio(taken.wall, memory.wall).median:9.2f}")
    print(flush=True)
    return {name: ratio(taken.cpu, memory.cpu).median for name, taken in times.items()}


def _milliseconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1000:9.3f}"


def _spread(value: Ratio) -> str:
    return f"{value.median:9.2f}{f'{value.low:.2f}-{value.high:.2f}':>14}"


async def measure_length(stores: Mapping[str, Store], repeats: int, lengths: Sequence[int]) -> dict[str, float]:
    """Part `length`."""
    found: dict[str, float] = {}
    print("plain turn, late in a conversation: milliseconds of CPU, and times that at the first place")
    print(f"  {'store':14}" + "".join(f"{f'turn {length:,}':>18}" for length in lengths))
    for name in ("sqlite", "postgres"):
        times = await _measure_lengths(stores[name], repeats, lengths)
        first = times[lengths[0]].cpu
        row = "".join(
            f"{_milliseconds(taken.cpu)}{f'({ratio(taken.cpu, first).median:.2f})':>9}" for taken in times.values()
        )
        print(f"  {name:14}{row}", flush=True)
        ratios = [ratio(taken.cpu, first).median for taken in times.values()]
        found[f"flat_{name}"] = max(ratios) / min(ratios)
    print()
    return found


async def _measure_lengths(store: Store, repeats: int, lengths: Sequence[int]) -> Mapping[int, Times]:
    assistant = assistant_on(store)
    for length in lengths[1:]:
        await fill(store, f"long-{length}", turns=length)
    times = {length: Times() for length in lengths}
    for repeat in range(2 * repeats + 1):
        # The shortest one would not stay short: each repeat has its own.
        conversations = {length: f"long-{length}" for length in lengths}
        conversations[lengths[0]] = f"short-{repeat}"
        await fill(store, conversations[lengths[0]], turns=lengths[0])
        for length in rotated(lengths, repeat):
            kept = times[length] if repeat else Times()  # the first one warms up
            await timed(partial(_again, assistant, conversations[length], _TURNS), _TURNS, kept)
    return times


async def _again(assistant: Assistant[str], conversation: str, turns: int) -> None:
    for _ in range(turns):
        await play(assistant, conversation)


async def measure_projected(stores: Mapping[str, Store], repeats: int) -> dict[str, float]:
    """Part `projected`."""
    found: dict[str, float] = {}
    names = (f"projected-{number}" for number in count())

    async def some(assistant: Assistant[str]) -> None:
        for _ in range(_TURNS):
            await play(assistant, next(names))

    print("plain turn with a row of the application for each record: milliseconds, and times one without rows")
    print(f"  {'store':14}{'CPU':>9}{'ratio':>9}{'min-max':>14}{'wall':>9}{'ratio':>9}")
    for name, projection in PROJECTIONS.items():
        pair = {"plain": assistant_on(stores[name]), "rows": assistant_on(ProjectedStore(stores[name], projection))}
        times = {kind: Times() for kind in pair}
        for repeat in range(2 * repeats + 1):
            for kind in rotated(list(pair), repeat):
                kept = times[kind] if repeat else Times()  # the first one warms up
                await timed(partial(some, pair[kind]), _TURNS, kept)
        plain, rows = times["plain"], times["rows"]
        cpu = f"{_milliseconds(rows.cpu)}{_spread(ratio(rows.cpu, plain.cpu))}"
        wall = f"{_milliseconds(rows.wall)}{ratio(rows.wall, plain.wall).median:9.2f}"
        print(f"  {name:14}{cpu}{wall}", flush=True)
        found[f"projected_{name}"] = ratio(rows.cpu, plain.cpu).median
    print()
    return found


async def measure_group(stores: Mapping[str, Store], repeats: int) -> dict[str, float]:
    """Part `group`."""
    found: dict[str, float] = {}
    names = (f"crowd-{number}" for number in count())
    print("turns with one tool call, concurrent conversations: turns per second, and times those of one conversation")
    print(f"  {'store':14}" + "".join(f"{f'{crowd:,} at once':>18}" for crowd in CROWDS))
    for name in ("sqlite", "postgres"):
        assistant = assistant_on(stores[name])
        times = {crowd: Times() for crowd in CROWDS}
        for _ in range(repeats):
            for crowd, turns in CROWDS.items():
                conversations = [next(names) for _ in range(crowd)]
                await timed(partial(_crowd, assistant, conversations, turns // crowd), turns, times[crowd])
        # The best of a few: whatever else runs on the machine only ever makes it slower.
        rates = {crowd: 1 / min(taken.wall) for crowd, taken in times.items()}
        row = "".join(f"{rate:9.0f}{f'({rate / rates[1]:.1f})':>9}" for rate in rates.values())
        print(f"  {name:14}{row}", flush=True)
        found[f"group_{name}_100"] = rates[100] / rates[1]
    print()
    return found


async def _crowd(assistant: Assistant[str], conversations: Sequence[str], turns: int) -> None:
    async def one(conversation: str) -> None:
        for _ in range(turns):
            await play(assistant, conversation, tools=True)

    async with anyio.create_task_group() as group:
        for conversation in conversations:
            group.start_soon(one, conversation)


async def measure_all(parts: Sequence[str], options: argparse.Namespace) -> dict[str, float]:
    """Measure the parts that run in this process."""
    found: dict[str, float] = {}
    if set(parts) - {"peers"}:
        async with opened_stores(options.folder) as stores:
            if "stores" in parts:
                found |= await measure_stores(stores, options.repeats)
            if "length" in parts:
                lengths = [length for length in LENGTHS if length <= options.longest]
                found |= await measure_length(stores, options.repeats, lengths)
            if "projected" in parts:
                found |= await measure_projected(stores, options.repeats)
            if "group" in parts:
                found |= await measure_group(stores, max(2, options.repeats // 3))
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table for each part, and the line of figures last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks stores",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each measurement (default: 7)")
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="leave out longer conversations")
    parser.add_argument("--folder", type=Path, default=None, help="where SQLite's files lie (default: a temporary one)")
    parser.add_argument("--peers", type=Path, default=None, help="the peers' environment (default: $BENCH_PEERS)")
    options = parser.parse_args(arguments)
    parts: Sequence[str] = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    python = peers_python(options.peers) if "peers" in parts else None
    begun = time.perf_counter()
    found = anyio.run(measure_all, parts, options)
    if python is not None:
        peers = measure_peers(python, max(1, options.repeats // 3), options.folder)
        print(peers_table(peers), end="\n\n", flush=True)
        found |= {f"{name}_ratio": peers["kit"].late / peers[name].late for name in PEERS if name != "kit"}
    seconds = time.perf_counter() - begun
    print(" ".join(f"{name}={value:.2f}" for name, value in found.items()), f"seconds={seconds:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a window costs: `python -m benchmarks window --help` says what is measured and what the last line means."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from assistant_kit import Assistant, Settings, SQLiteStore, WindowSettings
from assistant_kit.compaction_rules import keep_newest
from assistant_kit.context import Context
from assistant_kit.context_window import Window
from assistant_kit.conversation import measure, said_before, turns_of
from assistant_kit.entries import TurnStarted
from assistant_kit.journal_reader import JournalReader, Tail
from assistant_kit.messages import Text, UserMessage
from assistant_kit.protocols.compactor import Crowded
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.turns import Turn
from assistant_kit.view import view_of
from benchmarks.measure import Ratio, ratio
from benchmarks.store_turns import WORKING, InstantModel, fill, play
from benchmarks.window_journal import USER, messages
from benchmarks.window_journal import fill as fill_journal
from benchmarks.window_peers import Peers, opened_peers

DESCRIPTION = """\
What it costs to fill a context window from a long journal, in CPU of this process. The journal holds 20,000 messages of
25 words in SQLite; all counts are those of o200k_base.

read       the newest records that fit are read from the store and decoded: the kept tail
pack       the same, and all that makes a request of it: turns, the choice of those that are kept, the items in order
floor      with a tokenizer and no record of counts: from the newest message on until the window is full; the messages
           lie in memory, nothing is read
langchain  `trim_messages` of LangChain with a counter by tiktoken; the messages lie in memory, nothing is read
turn       a whole turn of an assistant in a conversation of 10 and of 100,000 turns, its window full each time, read
           from the store each time

The last line:
  window_4k window_100k        CPU of pack over that of read: the kept tail costs 1
  langchain_4k langchain_100k  CPU of LangChain over that of pack
  floor_4k floor_100k          CPU of the floor over that of pack
  turn_100000                  CPU of a turn in a conversation of 100,000 turns over one of 10
  memory_100000                the same, of the memory that Python takes for it at most
"""
TURNS = 10_000
BUDGETS: Mapping[str, int] = {"4k": 4_000, "100k": 100_000}
LENGTHS = (10, 100_000)
_CONVERSATION = "long"
_ORDER = ("window", "langchain", "floor", "turn", "memory")
_AGAIN = 100  # turns in each repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Milliseconds of CPU, by repeat, and how many messages go into the request."""

    read: list[float]
    pack: list[float]
    kept: int


async def measure_window(store: SQLiteStore, budget: int, repeats: int) -> Costs:
    """Fill a window, again and again."""
    counter = TiktokenCounter()
    reader = JournalReader(store.for_user(USER), _CONVERSATION)
    said = UserMessage(content=(Text(text="And then?"),))
    started = measure(TurnStarted(turn="now", input=said, assistant="assistant"), counter)
    (current,) = turns_of([started], counter)
    window = Window(WindowSettings(max_tokens=budget + 256, reserved_output=256), counter)

    async def read() -> Tail:
        return await reader.tail(before=None, max_tokens=budget)

    async def pack() -> int:
        return _packed(await read(), window, current, counter)

    kept = await pack()  # warms up
    costs = Costs(read=[], pack=[], kept=kept - 1)
    for _ in range(repeats):
        costs.read.append(await _timed(read))
        costs.pack.append(await _timed(pack))
    return costs


def _packed(tail: Tail, window: Window, current: Turn, counter: TiktokenCounter) -> int:
    """Make a request of what was read, as a run does whose conversation does not fit; return the number of items."""
    overhead = window.overhead()
    room = window.room(overhead) - current.tokens
    turns = said_before(turns_of(tail.entries, counter))
    view = view_of(turns, counter, compacted=tail.compacted, cut=tail.cut)
    crowded = Crowded(
        summaries=(),
        turns=view.shown,
        target=room,
        limit=room,
        counter=counter,
        model=InstantModel(),
        earlier=_no_pages,
    )
    keep = keep_newest(crowded).keep
    if keep < len(turns):
        view = view_of(turns[len(turns) - keep :], counter)
    return len(window.pack(overhead, view, current).items)


async def _no_pages() -> AsyncIterator[Sequence[Turn]]:
    for _ in ():
        yield ()


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    """Return milliseconds of CPU, of all threads of this process."""
    gc.collect()
    begun = time.process_time()
    await work()
    return 1000 * (time.process_time() - begun)


async def measure_turns(store: SQLiteStore, repeats: int, lengths: Sequence[int]) -> Mapping[str, float]:
    """Play turns in conversations of these lengths; return the CPU and the memory of the last over the first."""
    settings = Settings(window=WindowSettings(max_tokens=WORKING, reserved_output=256, cached_tokens=0))
    assistant = Assistant(InstantModel(), store=store, settings=settings, context=Context(token_counter=UpperBound()))
    for length in lengths[1:]:
        await fill(store, f"turns-{length}", turns=length)
    cpu: dict[int, list[float]] = {length: [] for length in lengths}
    memory: dict[int, list[float]] = {length: [] for length in lengths}
    for repeat in range(repeats + 1):
        # The shortest one would not stay short: each repeat has its own.
        names = {length: f"turns-{length}" for length in lengths} | {lengths[0]: f"short-{repeat}"}
        await fill(store, names[lengths[0]], turns=lengths[0])
        for length in lengths:
            taken = await _timed(partial(_again, assistant, names[length]))
            most = await _most_memory(partial(play, assistant, names[length]))
            if repeat:  # the first one warms up
                cpu[length].append(taken / _AGAIN)
                memory[length].append(most)
    first, last = lengths[0], lengths[-1]
    ratios = {"turn": ratio(cpu[last], cpu[first]), "memory": ratio(memory[last], memory[first])}
    print("a turn, its window of 4,352 tokens (at one a byte) read from the store each time")
    print(f"  {'length':>9}{'CPU ms':>10}{'kB at most':>12}")
    for length in lengths:
        print(f"  {length:9,}{statistics.median(cpu[length]):10.3f}{statistics.median(memory[length]) / 1000:12.0f}")
    print(f"  ratio {_told(ratios['turn'])}, memory {_told(ratios['memory'])}\n", flush=True)
    return {f"{name}_{last}": value.median for name, value in ratios.items()}


async def _again(assistant: Assistant[str], conversation: str) -> None:
    for _ in range(_AGAIN):
        await play(assistant, conversation)


async def _most_memory(work: Callable[[], Awaitable[None]]) -> float:
    """Return the most bytes that Python held for some work."""
    gc.collect()
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _told(value: Ratio) -> str:
    return f"{value.median:.2f} ({value.low:.2f}-{value.high:.2f})"


async def measure_all(peers: Peers | None, options: argparse.Namespace) -> dict[str, float]:
    """Measure everything; without `peers` only this library."""
    found: dict[str, float] = {}
    with TemporaryDirectory(dir=options.folder) as own:
        store = SQLiteStore(Path(own) / "window.db")
        await fill_journal(store, _CONVERSATION, turns=TURNS, counter=TiktokenCounter())
        for label, budget in BUDGETS.items():
            costs = await measure_window(store, budget, options.repeats)
            found |= _compared(label, budget, costs, peers, options.repeats)
        if options.longest:
            found |= await measure_turns(store, options.repeats, [LENGTHS[0], options.longest])
        await store.aclose()
    return found


def _compared(label: str, budget: int, costs: Costs, peers: Peers | None, repeats: int) -> dict[str, float]:
    """Measure the peers, print a table, and return the ratios."""
    read, pack = statistics.median(costs.read), statistics.median(costs.pack)
    spread = ratio(costs.pack, costs.read)
    print(f"{2 * TURNS:,} messages into {budget:,} tokens: milliseconds of CPU, and times pack")
    print(f"  {'':10}{'CPU ms':>10}{'of pack':>10}{'messages':>10}")
    print(f"  {'read':10}{read:10.2f}{read / pack:10.2f}{'':10}")
    print(f"  {'pack':10}{pack:10.2f}{1:10.2f}{costs.kept:10,}   of read {_told(spread)}")
    found = {f"window_{label}": spread.median}
    for name in ("floor", "langchain") if peers is not None else ():
        assert peers is not None  # noqa: S101  (the line above)
        texts = peers.folder / "messages.json"
        texts.write_text(json.dumps([text for turn in messages(TURNS) for text in turn]))
        figures = peers.run("window_peer.py", name, texts, str(budget), str(repeats))
        print(f"  {name:10}{figures['cpu']:10.2f}{figures['cpu'] / pack:10.2f}{figures['kept']:10,}")
        found[f"{name}_{label}"] = figures["cpu"] / pack
    print(flush=True)
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table for each part, and the line of figures last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks window",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each measurement (default: 7)")
    parser.add_argument(
        "--longest", type=int, default=LENGTHS[-1], help="the long conversation's turns (0: leave it out)"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where SQLite's file lies (default: a temporary one)")
    parser.add_argument("--peers", type=Path, default=None, help="the peers' environment (default: in $BENCH_PEERS)")
    parser.add_argument("--alone", action="store_true", help="leave the peers out")
    options = parser.parse_args(arguments)
    if options.alone:
        found = anyio.run(measure_all, None, options)
    else:
        with opened_peers(options.peers) as peers:
            found = anyio.run(measure_all, peers, options)
    order = sorted(found, key=lambda name: _ORDER.index(name.partition("_")[0]))
    print(" ".join(f"{name}={found[name]:.2f}" for name in order))
    return 0

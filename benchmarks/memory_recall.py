"""How fast memories are recalled: `python -m benchmarks memory --help` says what is measured."""
# ruff: noqa: S311  (randomness here has a seed and keeps no secrets)

from __future__ import annotations

import argparse
import gc
import math
import random
import statistics
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import anyio

from assistant_kit.indexes.postgres import PostgresIndex
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage
from assistant_kit.retrieval import fuse
from benchmarks.plain_vectors import FOUND, PlainPostgres, PlainSQLite, analyse
from tests.services.postgres import running_postgres

DESCRIPTION = """\
What it costs to recall the 8 best of many memories of one owner: through the indexes of this library, and by plain
queries of sqlite-vec and pgvector that return the same texts, in the same run. Postgres has the statistics of all
tables. Each question is asked of all, one after another, who is first taking turns; times are those of the wall clock.
Texts are seeded and made of a vocabulary with few common and many rare words; vectors are seeded and point anywhere.

  nearest   the memories with the nearest vectors
  keywords  the memories that share words with a question of two to eight words
  hybrid    both at once, 24 of each, merged by reciprocal rank fusion

The last line:
  sqlite_ratio    p95 of nearest through SQLiteIndex, over that of the plain sqlite-vec query
  hybrid_ratio    p95 of hybrid through SQLiteIndex, over that of the plain sqlite-vec query
  postgres_ratio  p95 of nearest through PostgresIndex, over that of the plain pgvector query
  postgres_hybrid p95 of hybrid through PostgresIndex, over that of the plain pgvector query
  p95_ms          p95 of hybrid through SQLiteIndex, in milliseconds
"""
OWNER = "somebody"
EACH = 24
BATCH = 2000

Ask: TypeAlias = Callable[["Question"], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for, in words and as a vector."""

    text: str
    vector: Vector


class Memories:
    """Texts and vectors that are the same in every run."""

    def __init__(self, count: int, dimensions: int) -> None:
        self.count: int = count
        self._dimensions = dimensions
        letters = random.Random(1)
        lengths = range(2, 10)
        self._words = ["".join(letters.choices("etaoinshrdlucmfw", k=letters.choice(lengths))) for _ in range(20_000)]
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(len(self._words))))

    @cached_property
    def passages(self) -> Sequence[Passage]:
        """All memories, in the order in which they are put."""
        chance = random.Random(2)
        return [
            Passage(
                id=f"m{n:08}",
                text=self._text(chance, 8, 20),
                source=f"c{n % 500}",
                at=float(n),
                vector=self._vector(chance),
            )
            for n in range(self.count)
        ]

    def questions(self, count: int) -> list[Question]:
        """Questions, by words of the same vocabulary."""
        chance = random.Random(3)
        return [Question(self._text(chance, 2, 8), self._vector(chance)) for _ in range(count)]

    def _text(self, chance: random.Random, least: int, most: int) -> str:
        return " ".join(chance.choices(self._words, cum_weights=self._weights, k=chance.randint(least, most)))

    def _vector(self, chance: random.Random) -> Vector:
        numbers = array("b", chance.randbytes(self._dimensions))
        length = math.hypot(*numbers)
        return array("f", [number / length for number in numbers])


async def fill(owned: OwnedIndex, memories: Memories) -> None:
    """Put all memories into an index."""
    for start in range(0, memories.count, BATCH):
        await owned.put(memories.passages[start : start + BATCH])


def texts(hits: Sequence[Hit]) -> list[str]:
    """What was found, as the plain queries return it."""
    return [hit.passage.text for hit in hits]


def asking(owned: OwnedIndex) -> dict[str, Ask]:
    """The three ways to ask an index."""

    async def nearest(question: Question) -> Sequence[str]:
        return texts(await owned.nearest(question.vector, limit=FOUND))

    async def keywords(question: Question) -> Sequence[str]:
        return texts(await owned.keywords(question.text, limit=FOUND))

    async def hybrid(question: Question) -> Sequence[str]:
        rankings: dict[str, Sequence[Hit]] = {}

        async def by_words() -> None:
            rankings["words"] = await owned.keywords(question.text, limit=EACH)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(by_words)
            rankings["vector"] = await owned.nearest(question.vector, limit=EACH)
        return texts(fuse([rankings["words"], rankings["vector"]])[:FOUND])

    return {"nearest": nearest, "keywords": keywords, "hybrid": hybrid}


@asynccontextmanager
async def opened(memories: Memories, options: argparse.Namespace) -> AsyncGenerator[dict[str, Ask]]:
    """All that is asked, by name, filled with the memories."""
    with ExitStack() as services:
        folder = Path(services.enter_context(TemporaryDirectory(dir=options.folder)))
        async with AsyncExitStack() as closing:
            begun = time.perf_counter()
            told(f"{len(memories.passages)} memories", begun)
            begun = time.perf_counter()
            index = await closing.enter_async_context(aclosing(SQLiteIndex(folder / "index.db")))
            await index.open(embedder="benchmark", dimensions=options.dimensions)
            await fill(index.for_owner(OWNER), memories)
            told("SQLiteIndex", begun, folder / "index.db")
            asks = {f"sqlite {name}": ask for name, ask in asking(index.for_owner(OWNER)).items()}
            begun = time.perf_counter()
            plain = services.enter_context(PlainSQLite(folder / "plain.db", options.dimensions))
            plain.fill(memories.passages)
            told("plain sqlite-vec", begun, folder / "plain.db")
            asks["sqlite plain"] = plain.nearest
            if options.postgres:
                asks |= await opened_postgres(memories, options, services, closing)
            yield asks


async def opened_postgres(
    memories: Memories, options: argparse.Namespace, services: ExitStack, closing: AsyncExitStack
) -> dict[str, Ask]:
    """The index in Postgres and the plain query, on one server."""
    url = services.enter_context(running_postgres())
    begun = time.perf_counter()
    index = await closing.enter_async_context(aclosing(PostgresIndex(url)))
    await index.open(embedder="benchmark", dimensions=options.dimensions)
    await fill(index.for_owner(OWNER), memories)
    analyse(
        url, "assistant_kit_index.passages, assistant_kit_index.vectors"
    )  # as the plain table is; autovacuum would within two minutes
    told("PostgresIndex", begun)
    begun = time.perf_counter()
    plain = services.enter_context(PlainPostgres(url, options.dimensions))
    plain.fill(memories.passages)
    analyse(url, "memories")
    told("plain pgvector", begun)
    return {
        **{f"postgres {name}": ask for name, ask in asking(index.for_owner(OWNER)).items()},
        "postgres plain": plain.nearest,
    }


def told(name: str, begun: float, path: Path | None = None) -> None:
    """Say how long making it took."""
    size = "" if path is None else f", {path.stat().st_size / 1e6:.0f} MB"
    print(f"{name}: made in {time.perf_counter() - begun:.0f} s{size}", flush=True)


async def measure(asks: Mapping[str, Ask], questions: Sequence[Question]) -> dict[str, list[float]]:
    """Seconds of each question, by who was asked. Raises SystemExit when plain and ours find different texts."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    names = list(asks)
    gc.collect()
    gc.disable()
    for turn, question in enumerate(questions):
        found: dict[str, Sequence[str]] = {}
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            begun = time.perf_counter()
            found[name] = await asks[name](question)
            if turn >= 3:  # the first ones warm up
                times[name].append(time.perf_counter() - begun)
        for place in {name.split()[0] for name in names}:
            if found[f"{place} nearest"] != found[f"{place} plain"]:
                sys.exit(f"wrong answer: {place} does not find what the plain query finds")
    gc.enable()
    return times


def p95(times: Sequence[float]) -> float:
    """The time that 95 of 100 do not exceed."""
    return statistics.quantiles(times, n=20)[-1]


def table(times: Mapping[str, Sequence[float]]) -> str:
    """The figures, in milliseconds."""
    lines = [f"  {'':20}{'p50 ms':>10}{'p95 ms':>10}{'p95 of plain':>15}{'pairs, median':>15}"]
    for name, values in times.items():
        plain = times[f"{name.split()[0]} plain"]
        middle, high = statistics.median(values) * 1000, p95(values) * 1000
        lines.append(
            f"  {name:20}{middle:10.1f}{high:10.1f}{p95(values) / p95(plain):15.2f}{_pairs(values, plain):15.2f}"
        )
    return "\n".join(lines)


def _pairs(times: Sequence[float], plain: Sequence[float]) -> float:
    """The median of the ratios of the same questions: what else the machine does hardly moves it."""
    return statistics.median(mine / theirs for mine, theirs in zip(times, plain, strict=True))


async def run(options: argparse.Namespace) -> dict[str, list[float]]:
    """Fill all places and ask them."""
    memories = Memories(options.memories, options.dimensions)
    async with opened(memories, options) as asks:
        return await measure(asks, memories.questions(options.questions + 3))


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table, and the line of figures last."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks memory",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--memories", type=int, default=100_000, help="of the one owner (default: 100000)")
    parser.add_argument("--dimensions", type=int, default=384, help="length of the vectors (default: 384)")
    parser.add_argument("--questions", type=int, default=40, help="asked of each (default: 40)")
    parser.add_argument("--folder", type=Path, default=None, help="where files lie (default: a temporary one)")
    parser.add_argument("--no-postgres", dest="postgres", action="store_false", help="measure SQLite alone")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    times = anyio.run(run, options)
    print(table(times), end="\n\n", flush=True)
    ratio = {name: p95(values) / p95(times[f"{name.split()[0]} plain"]) for name, values in times.items()}
    figures = {"sqlite_ratio": ratio["sqlite nearest"], "hybrid_ratio": ratio["sqlite hybrid"]}
    if options.postgres:
        figures["postgres_ratio"] = ratio["postgres nearest"]
        figures["postgres_hybrid"] = ratio["postgres hybrid"]
    figures["p95_ms"] = p95(times["sqlite hybrid"]) * 1000
    figures["seconds"] = time.perf_counter() - begun
    print(" ".join(f"{name}={value:.2f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

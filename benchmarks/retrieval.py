"""How well passages are found: `python -m benchmarks retrieval --help` says what is measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from assistant_kit.embedders.small import SmallEmbedder
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage
from assistant_kit.retrieval import fuse
from benchmarks.retrieval_set import NoSetError, Question, RetrievalSet, load

DESCRIPTION = """\
How well passages are found: questions of the FAQs of Debian, Django and Python, whose answers are known, are asked of
these FAQs and the guides beside them, through SQLiteIndex. The pages are Debian's packages (17 MB, apt-get download).

keywords  by words (BM25 of SQLite's FTS5)
vectors   by the cosine of SmallEmbedder's vectors
hybrid    both rankings put together by `assistant_kit.retrieval.fuse`, as memories and documents do

recall@5  the share of questions whose answer has a passage among the first five found
MRR@10    the mean of 1 / the place of the first passage of the answer, 0 behind the tenth place

No setting was chosen by these questions: k = 60 and equal weights are what `fuse` does when it is told nothing.
"""
OWNER = "retrieval"
DEPTH = 50  # of each ranking that is put together
AT_ONCE = 500  # passages a write


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well questions were answered: shares between 0 and 1."""

    recall5: float
    mrr: float

    def __str__(self) -> str:
        return f"{self.recall5:10.3f}{self.mrr:10.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What both searches found for a question, the best first."""

    question: Question
    keywords: Sequence[Hit]
    vectors: Sequence[Hit]


def score(places: Sequence[int | None]) -> Score:
    """Judge a search by the places at which it found the answers, from 1; None where it did not."""
    return Score(
        recall5=sum(place is not None and place <= 5 for place in places) / len(places),
        mrr=sum(1 / place for place in places if place is not None and place <= 10) / len(places),
    )


def _place(question: Question, hits: Sequence[Hit]) -> int | None:
    sections = (hit.passage.id.partition("/")[0] for hit in hits)
    return next((place for place, section in enumerate(sections, 1) if section == question.section), None)


async def search(given: RetrievalSet, index: OwnedIndex, embedder: SmallEmbedder) -> list[Found]:
    """Put all passages into the index, and ask all questions of it."""
    passages = list(given.passages.items())
    for at in range(0, len(passages), AT_ONCE):
        part = passages[at : at + AT_ONCE]
        vectors = await embedder.embed([text for _, text in part])
        await index.put(
            [Passage(id=name, text=text, vector=vector) for (name, text), vector in zip(part, vectors, strict=True)]
        )
    asked = await embedder.embed([question.text for question in given.questions], purpose="query")
    return [await _ask(question, vector, index) for question, vector in zip(given.questions, asked, strict=True)]


async def _ask(question: Question, vector: Vector, index: OwnedIndex) -> Found:
    return Found(
        question=question,
        keywords=await index.keywords(question.text, limit=DEPTH),
        vectors=await index.nearest(vector, limit=DEPTH),
    )


def places(found: Sequence[Found]) -> Mapping[str, Sequence[int | None]]:
    """Return at which place each search, and both together, have the answer to each question."""
    return {
        "keywords": [_place(one.question, one.keywords) for one in found],
        "vectors": [_place(one.question, one.vectors) for one in found],
        "hybrid": [_place(one.question, fuse([one.keywords, one.vectors])) for one in found],
    }


def report(by_search: Mapping[str, Sequence[int | None]]) -> Mapping[str, Score]:
    """Print the figures of the searches, and how they differ; return the figures."""
    figures = {name: score(of_search) for name, of_search in by_search.items()}
    print(f"{'':10}{'recall@5':>10}{'MRR@10':>10}")
    for name, figure in figures.items():
        print(f"{name:10}{figure}")
    seen = {
        name: {number for number, place in enumerate(of_search) if place is not None and place <= 5}
        for name, of_search in by_search.items()
    }
    either = seen["keywords"] | seen["vectors"]
    print(
        f"among the first five: {', '.join(f'{name} {len(one)}' for name, one in seen.items())}, either {len(either)}"
    )
    for name in ("keywords", "vectors"):
        print(
            f"hybrid, not {name}: {len(seen['hybrid'] - seen[name])}; the reverse: {len(seen[name] - seen['hybrid'])}"
        )
    return figures


async def run(folder: Path | None) -> Mapping[str, Score]:
    """Load, search, print the table; return its figures."""
    given = load(folder)
    print(f"{len(given.questions)} questions, {len(given.passages)} passages; {', '.join(given.versions)}")
    embedder = SmallEmbedder()
    with TemporaryDirectory() as made:
        index = SQLiteIndex(Path(made) / "index.db")
        await index.open(embedder=embedder.name, dimensions=embedder.dimensions)
        try:
            found = await search(given, index.for_owner(OWNER), embedder)
        finally:
            await index.aclose()
            await embedder.aclose()
    return report(places(found))


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the line of figures last. Exits with 1 without packages, never because of a figure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks retrieval",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=None, help="where the packages lie, or are to be kept, as *.deb")
    given = parser.parse_args(arguments)
    try:
        figures = anyio.run(run, given.folder)
    except NoSetError as error:
        print(f"retrieval: {error}", file=sys.stderr)
        return 1
    names = [f"{name}_recall5={one.recall5:.3f}" for name, one in figures.items()]
    print(" ".join([*names, *(f"{name}_mrr={one.mrr:.3f}" for name, one in figures.items())]))
    return 0

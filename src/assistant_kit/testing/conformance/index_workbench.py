"""What the tests of a search index stand on: an index, two of its owners, and short ways to put and find."""

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import ClassVar
from uuid import uuid4

import anyio
import pytest

from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, Label, OwnedIndex, Passage, SearchIndex, Where

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

DIMENSIONS = 8
"""The length of the vectors of all tests, but those that are about another length."""

BAD_NAMES = ["", "x" * 256, "a\0b", "\ud800"]
"""Names that some database cannot hold."""


class IndexWorkbench(ABC):
    """Opens the index under test. The hook is `open_index`."""

    durable: ClassVar[bool] = True
    """Whether a place outlives the object that opened it: False for an index in the memory of the process."""

    finds_words: ClassVar[bool] = True
    """Whether the index can search words: False for one that finds vectors alone."""

    serves_event_loops: ClassVar[bool] = True
    """Whether one object serves several event loops."""

    @abstractmethod
    async def open_index(self, folder: Path) -> SearchIndex:
        """Return an index object that nobody has opened yet, for the place of this folder.

        `folder` is the test's own, and empty at first. It is asked again with the same folder for another object on
        the same place. For a server, name a table or a collection by `place_name(folder)`.
        """

    async def remove_place(self, folder: Path) -> None:  # noqa: B027  (few have anything to remove)
        """Remove what `open_index` has made outside of the folder, after the test; all objects are closed then."""

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[SearchIndex]:
        """Return an index whose vectors are settled, and close it after the test."""
        with anyio.fail_after(PATIENCE):
            index = await self.open_index(tmp_path)
            await index.open(embedder="test", dimensions=DIMENSIONS)
        try:
            yield index
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await index.aclose()
                await self.remove_place(tmp_path)

    @pytest.fixture
    def alice(self, index: SearchIndex) -> OwnedIndex:
        """Return the handle of an owner who has nothing yet."""
        return index.for_owner(f"alice-{uuid4()}")

    @pytest.fixture
    def bob(self, index: SearchIndex) -> OwnedIndex:
        """Return the handle of another owner who has nothing yet."""
        return index.for_owner(f"bob-{uuid4()}")


def place_name(folder: Path) -> str:
    """Return a name for the place of a folder: lower-case letters and digits, with a letter first."""
    return f"t{sha256(str(folder).encode()).hexdigest()[:20]}"


def toward(*numbers: float, dimensions: int = DIMENSIONS) -> Vector:
    """Return the vector of length 1 that points to these numbers, and zeros behind them."""
    length = math.hypot(*numbers)
    return array("f", [*(number / length for number in numbers), *([0.0] * (dimensions - len(numbers)))])


def anywhere(random: Random, dimensions: int = DIMENSIONS) -> Vector:
    """Return a vector that points anywhere."""
    return toward(*(random.gauss(0, 1) for _ in range(dimensions)), dimensions=dimensions)


def cosine(one: Vector, other: Vector) -> float:
    """Return how near two vectors are."""
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def passage(
    name: str,
    text: str = "",
    *,
    vector: "Vector | None" = None,
    source: str = "",
    at: float = 0.0,
    labels: Mapping[str, Label] | None = None,
) -> Passage:
    """Return a passage with this id; its vector points anywhere, but always the same way, if none is given."""
    vector = anywhere(Random(repr(name))) if vector is None else vector  # noqa: S311  (no secret)
    return Passage(id=name, text=text or f"text of {name}", source=source, at=at, labels=labels or {}, vector=vector)


def ids(found: Sequence[Passage]) -> list[str]:
    """Return the ids of passages."""
    return [one.id for one in found]


def hit_ids(hits: Sequence[Hit]) -> list[str]:
    """Return the ids of the passages that were found."""
    return [hit.passage.id for hit in hits]


async def names_of(owned: OwnedIndex, where: Where | None = None) -> list[str]:
    """Return the ids of all of an owner's passages that are like this."""
    return ids(await owned.page(limit=1000, where=where))


def assert_same(found: Passage, expected: Passage, *, vector: bool = True) -> None:
    """See that a passage is the one that was put, types of labels included; `vector` as well, or none."""
    assert (found.id, found.text, found.source, found.at) == (  # noqa: S101  (what the tests would say)
        expected.id,
        expected.text,
        expected.source,
        expected.at,
    )
    assert kinds(found.labels) == kinds(expected.labels)  # noqa: S101
    if not vector or expected.vector is None:
        assert found.vector is None  # noqa: S101
    else:
        assert found.vector is not None  # noqa: S101
        assert found.vector.typecode == "f"  # noqa: S101
        assert list(found.vector) == pytest.approx(list(expected.vector), abs=1e-5)  # noqa: S101


def kinds(labels: Mapping[str, Label]) -> dict[str, tuple[type, Label]]:
    """Return labels with their types, as True and 1 are equal for Python."""
    return {name: (type(value), value) for name, value in labels.items()}

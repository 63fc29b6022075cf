from pathlib import Path

import pytest

from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.protocols.search_index import Label, SearchIndex, Where
from assistant_kit.testing.conformance.index import IndexConformance
from assistant_kit.testing.conformance.index_workbench import passage, toward

pytestmark = pytest.mark.anyio


class TestMemoryIndex(IndexConformance):
    durable = False

    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (memory has no place)
        return MemoryIndex()


async def test_what_is_given_and_returned_can_be_changed_without_harm() -> None:
    index = MemoryIndex()
    owned = index.for_owner("o")
    labels: dict[str, Label] = {"k": 1}
    put = passage("a", labels=labels, vector=toward(1))
    await owned.put([put])
    labels["k"] = 2
    (found,) = await owned.get(["a"])
    for vector in (put.vector, found.vector):
        assert vector is not None
        vector[0] = 0.0

    (again,) = await owned.page()

    assert again.labels == {"k": 1}
    assert list(again.vector or ()) == list(toward(1))


async def test_nothing_put_makes_no_owner() -> None:
    index = MemoryIndex()
    await index.for_owner("o").put([])

    assert await index.owners() == []
    assert await index.for_owner("o").delete_where(Where(source="s")) == 0

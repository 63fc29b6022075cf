"""What is left in the bytes of a file of an erased owner: nothing."""
# ruff: noqa: ASYNC240  (nothing else runs meanwhile)

from array import array
from pathlib import Path
from random import Random
from typing import cast

import apsw
import pytest

from assistant_kit.errors import StoreBusy
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.protocols.search_index import OwnedIndex, Passage, Where
from assistant_kit.testing.conformance.index_workbench import anywhere, hit_ids, names_of

pytestmark = pytest.mark.anyio

DIMENSIONS = 16


@pytest.fixture
def anyio_backend() -> str:
    """Run each test once: what is on disk does not depend on the event loop."""
    return "asyncio"


def traces(folder: Path, marks: list[bytes]) -> list[bytes]:
    """Those of the marks that stand in any file of the folder."""
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    return [mark for mark in marks if mark in content]


class Person:
    """Puts and deletes passages with marks in them."""

    def __init__(self, index: SQLiteIndex, name: str, chance: Random) -> None:
        self.owned: OwnedIndex = index.for_owner(f"owner{name}")
        self.marks: list[bytes] = [f"owner{name}".encode()]
        self._name = name
        self._chance = chance
        self._count = 0

    def _passage(self) -> Passage:
        chance = self._chance
        self._count += 1
        mark = f"{self._name}zz{self._count}zz"
        vector = anywhere(chance, DIMENSIONS)
        # Four numbers of a vector at one place are no accident.
        self.marks += [f"text{mark}".encode(), f"source{mark}".encode(), f"label{mark}".encode()]
        self.marks += [array("f", vector[:4]).tobytes(), array("f", vector[-4:]).tobytes()]
        return Passage(
            id=f"p{chance.randrange(60)}",
            text=f"text{mark} " * chance.choice([1, 3, 60]),
            source=f"source{mark}",
            labels={"k": f"label{mark}"},
            vector=None if chance.random() < 0.2 else vector,
        )

    async def step(self) -> None:
        deed = self._chance.random()
        if deed < 0.7:
            await self.owned.put([self._passage() for _ in range(self._chance.choice([1, 9]))])
        elif deed < 0.9:
            await self.owned.delete([f"p{self._chance.randrange(60)}" for _ in range(10)])
        else:
            await self.owned.delete_where(Where(labels={"k": self.marks[-3].decode(errors="ignore")}))


@pytest.mark.parametrize("seed", range(2))
async def test_no_file_has_anything_of_an_erased_owner(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    index = SQLiteIndex(tmp_path / "i.db", synchronous="NORMAL")
    gone, stays = Person(index, "gone", chance), Person(index, "stays", chance)
    for _ in range(30):
        await chance.choice([gone, stays]).step()
    before = await stays.owned.page(limit=1000)
    assert traces(tmp_path, gone.marks)

    await gone.owned.erase()

    assert traces(tmp_path, gone.marks) == []
    assert traces(tmp_path, stays.marks)
    assert await stays.owned.page(limit=1000) == before
    asked = anywhere(chance, DIMENSIONS)
    assert sorted(hit_ids(await stays.owned.nearest(asked, limit=999))) == sorted(
        one.id for one in before if one.vector is not None
    )
    assert len(await stays.owned.keywords(" ".join(one.text for one in before[-20:]), limit=999)) >= 1
    await index.aclose()
    assert traces(tmp_path, gone.marks) == []


async def test_one_who_has_deleted_everything_leaves_nothing_when_erased(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    person = Person(index, "gone", Random(9))
    for _ in range(10):
        await person.step()
    await person.owned.delete(await names_of(person.owned))

    assert await person.owned.erase() == 0

    assert traces(tmp_path, person.marks) == []
    await index.aclose()


async def test_an_erasure_that_a_reader_keeps_back_is_finished_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    index = SQLiteIndex(path, busy_timeout=0.1)
    person = Person(index, "gone", Random(3))
    await person.step()
    reader = cast("Connection", apsw.Connection(str(path)))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM owners").fetchall()

    with pytest.raises(StoreBusy):
        await person.owned.erase()
    assert await names_of(person.owned) == []
    assert traces(tmp_path, person.marks)

    reader.close()
    assert await person.owned.erase() == 0
    assert traces(tmp_path, person.marks) == []
    await index.aclose()


async def test_a_file_without_traces_is_not_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    index = SQLiteIndex(path)
    person = Person(index, "stays", Random(4))
    await person.step()
    before = sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir() if file.suffix == ".db")

    assert await index.for_owner("nobody").erase() == 0

    assert sorted((file.name, file.read_bytes()) for file in tmp_path.iterdir() if file.suffix == ".db") == before
    await index.aclose()

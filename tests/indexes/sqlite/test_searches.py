"""What the index in SQLite does beyond the suite."""

import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random

import pytest

from assistant_kit.errors import ConfigurationError, MissingDependency, StoreUnavailable
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.indexes.sqlite.keywords import LEAST_ROWS, MAX_ROWS, MAX_WORDS, shares
from assistant_kit.indexes.sqlite.reading import MAX_NEAREST
from assistant_kit.protocols.search_index import Passage, Where
from assistant_kit.testing.conformance.index_workbench import anywhere, cosine, hit_ids, names_of, passage, toward

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run each test once: the suite runs on both event loops."""
    return "asyncio"


async def test_more_can_be_asked_for_than_sqlite_vec_finds_at_once(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    owned = index.for_owner("o")
    random = Random(1)
    vectors = {f"p{n:05}": anywhere(random) for n in range(MAX_NEAREST + 300)}
    await owned.put(
        [passage(name, vector=vector, labels={"odd": n % 2}) for n, (name, vector) in enumerate(vectors.items())]
    )
    cosines = {name: cosine(vector, toward(1)) for name, vector in vectors.items()}
    best = sorted(cosines.values(), reverse=True)
    best_odd = sorted(list(cosines.values())[1::2], reverse=True)

    found = hit_ids(await owned.nearest(toward(1), limit=MAX_NEAREST + 200))
    fitting = hit_ids(await owned.nearest(toward(1), limit=MAX_NEAREST + 200, where=Where(labels={"odd": 1})))

    assert len(set(found)) == MAX_NEAREST + 200
    assert [cosines[name] for name in found] == pytest.approx(best[: MAX_NEAREST + 200], abs=1e-5)
    assert [cosines[name] for name in fitting] == pytest.approx(best_odd, abs=1e-5)
    await index.aclose()


async def test_vectors_stay_exact_while_passages_come_and_go(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    random = Random(2)
    owners = {name: index.for_owner(name) for name in ("a", "b", "c")}
    kept = {name: {f"p{n}": anywhere(random) for n in range(200)} for name in owners}
    for name, vectors in kept.items():
        await owners[name].put([passage(one, vector=vector) for one, vector in vectors.items()])

    for turn in range(6):
        for name, vectors in kept.items():
            gone = random.sample(sorted(vectors), 30)
            new = {one: anywhere(random) for one in (*random.sample(sorted(vectors), 20), f"new{turn}")}
            await owners[name].delete(gone)
            for one in gone:
                del vectors[one]
            await owners[name].put([passage(one, vector=vector) for one, vector in new.items()])
            vectors.update(new)
        if turn == 3:
            await owners["b"].erase()  # the file is written anew
            kept["b"].clear()
            kept["b"]["again"] = anywhere(random)
            await owners["b"].put([passage("again", vector=kept["b"]["again"])])
            break

    for name, vectors in kept.items():
        asked = anywhere(random)
        best = sorted(vectors, key=lambda one: (-cosine(vectors[one], asked), one))
        assert hit_ids(await owners[name].nearest(asked, limit=500)) == best
        assert await names_of(owners[name]) == sorted(vectors)
    await index.aclose()


async def test_what_others_have_changes_no_ranking(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    alone = SQLiteIndex(tmp_path / "alone.db")
    texts = {"a": "tea and tea", "b": "tea with milk in it", "c": "cold milk", "d": "the milk of almonds", "e": "milk"}
    for place in (index, alone):
        await place.for_owner("o").put([passage(name, text) for name, text in texts.items()])
    await index.for_owner("x").put([passage(f"x{n}", "tea cup on a table") for n in range(300)])

    for query in ("tea milk", "milk", "tea cold", "cup"):
        found = hit_ids(await index.for_owner("o").keywords(query))
        assert found == hit_ids(await alone.for_owner("o").keywords(query))
    await index.aclose()
    await alone.aclose()


async def test_rare_words_are_found_among_common_ones(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    owned = index.for_owner("o")
    count = LEAST_ROWS + 100
    await owned.put([Passage(id="first", text="the owl is here")])
    await owned.put([Passage(id=f"p{n:06}", text="the cat is here", at=float(n)) for n in range(count)])

    assert hit_ids(await owned.keywords("where is the owl"))[0] == "first"
    assert hit_ids(await owned.keywords(" ".join([*(f"w{n}" for n in range(MAX_WORDS * 9)), "owl"]))) == ["first"]
    assert len(await owned.keywords("the cat", limit=count)) == count
    assert hit_ids(await owned.keywords("the", where=Where(until=1.0), limit=5)) == ["first", "p000000", "p000001"]
    await index.aclose()


def test_all_rows_of_rare_words_are_weighed_and_some_of_common_ones() -> None:
    frequencies = {"owl": 1, "cat": MAX_ROWS - 501, "is": MAX_ROWS, "the": MAX_ROWS * 5}

    rows = {word: min(frequency, rows) for word, frequency, rows in shares(frequencies, 10)}

    assert rows == {"owl": 1, "cat": MAX_ROWS - 501, "is": LEAST_ROWS, "the": LEAST_ROWS}
    assert [rows for *_, rows in shares({"the": MAX_ROWS * 9}, MAX_ROWS * 2)] == [MAX_ROWS * 2]


def test_a_path_that_is_none_is_refused() -> None:
    for path in ("", ":memory:", "a\0b"):
        with pytest.raises(ConfigurationError):
            SQLiteIndex(path)


async def test_a_closed_index_is_unavailable(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "i.db")
    await index.for_owner("o").put([passage("a")])
    await index.aclose()

    with pytest.raises(StoreUnavailable):
        await index.for_owner("o").page()


@pytest.mark.parametrize(("module", "package"), [("apsw", "apsw"), ("sqlite_vec", "sqlite-vec")])
def test_without_what_it_needs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    found = find_spec("assistant_kit.indexes.sqlite")
    assert found
    assert found.origin
    again = spec_from_file_location("sqlite_again", found.origin)
    assert again
    assert again.loader
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingDependency) as caught:
        again.loader.exec_module(module_from_spec(again))

    assert (caught.value.package, caught.value.extra) == (package, "vector")


async def test_what_another_process_puts_is_found(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    index = SQLiteIndex(path)
    await index.for_owner("o").put([passage("here", vector=toward(1))])
    program = (
        "import anyio, sys\n"
        "from array import array\n"
        "from assistant_kit.indexes.sqlite import SQLiteIndex\n"
        "from assistant_kit.protocols.search_index import Passage\n"
        "async def main():\n"
        "    owned = SQLiteIndex(sys.argv[1]).for_owner('o')\n"
        "    await owned.put([Passage(id='there', text='far', vector=array('f', [0, 1, 0, 0, 0, 0, 0, 0]))])\n"
        "    print(*[hit.passage.id for hit in await owned.nearest(array('f', [1, 0, 0, 0, 0, 0, 0, 0]))])\n"
        "anyio.run(main)\n"
    )

    done = subprocess.run(  # noqa: ASYNC221  (nothing else runs meanwhile)
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["here", "there"]
    assert hit_ids(await index.for_owner("o").nearest(toward(0, 1))) == ["there", "here"]
    await index.aclose()

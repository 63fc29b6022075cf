from collections.abc import Iterator
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.errors import ConfigurationError, InputError
from assistant_kit.indexes.postgres import PostgresIndex
from assistant_kit.protocols.search_index import SearchIndex, Where
from assistant_kit.testing.conformance.index import IndexConformance
from assistant_kit.testing.conformance.index_nearest import IndexNearest
from assistant_kit.testing.conformance.index_places import IndexPlaces
from assistant_kit.testing.conformance.index_workbench import (
    IndexWorkbench,
    anywhere,
    hit_ids,
    ids,
    passage,
    toward,
)
from tests.indexes.postgres_places import asking, at, index_at, run, schema

pytestmark = pytest.mark.anyio

SHARED = "conforming_index"


class InOneSchema(IndexWorkbench):
    """Empties a schema after each test: to make one takes longer than a test.

    Deleted rows would not do: an HNSW index is made of those, too, as long as any session of the server could still see
    them, and the vectors of another test may have another length.
    """

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = postgres_url

    async def remove_place(self, folder: Path) -> None:  # noqa: ARG002  (all tests use one schema)
        run(
            self.url,
            f"TRUNCATE {SHARED}.passages CASCADE",
            f"UPDATE {SHARED}.settings SET embedder = '', dimensions = NULL",  # noqa: S608
            f"DROP INDEX IF EXISTS {SHARED}.vectors_hnsw",
        )


class TestPostgresIndex(InOneSchema, IndexConformance):
    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (all tests use one schema)
        return PostgresIndex(self.url, schema=SHARED, connections=2)


class TestApproximately(InOneSchema, IndexNearest, IndexPlaces):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (all tests use one schema)
        return PostgresIndex(self.url, schema=SHARED, connections=2, approximate=True)


@pytest.fixture
def name(postgres_url: str) -> Iterator[str]:
    with schema(postgres_url) as made:
        yield made


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_graph_finds_most_of_the_nearest_and_as_many_as_there_are(postgres_url: str, name: str) -> None:
    random = Random(7)
    # A server takes a graph by itself where an owner has very many passages.
    by_graph = at(postgres_url, options="-c enable_seqscan=off -c enable_sort=off")
    async with (
        index_at(by_graph, schema=name, approximate=True) as graph,
        index_at(postgres_url, schema=name) as exact,
    ):
        many, few = graph.for_owner("many"), graph.for_owner("few")
        await many.put([passage(f"p{n}", vector=anywhere(random, 16)) for n in range(500)])
        await few.put([passage(f"p{n}", vector=anywhere(random, 16)) for n in range(40)])
        run(postgres_url, f"ANALYZE {name}.passages, {name}.vectors")

        found = 0
        for _ in range(10):
            asked = anywhere(random, 16)
            near = hit_ids(await many.nearest(asked))
            found += len({*near} & {*hit_ids(await exact.for_owner("many").nearest(asked))})
            assert len(await few.nearest(asked, limit=40)) == 40

    # A session that has ended has told how often it used which index.
    used = "SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = %s AND indexrelname = 'vectors_hnsw'"
    with asking(postgres_url) as connection, anyio.fail_after(30):
        while (connection.execute(used, [name]).fetchone() or (0,))[0] < 10:
            await anyio.lowlevel.checkpoint()
    assert found >= 90


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_where_a_graph_gives_up_early_all_are_looked_at(postgres_url: str, name: str) -> None:
    random = Random(8)
    settings = "enable_seqscan=off enable_sort=off hnsw.iterative_scan=off hnsw.ef_search=10"
    by_graph = at(postgres_url, options=" ".join(f"-c {setting}" for setting in settings.split()))
    async with index_at(by_graph, schema=name, approximate=True) as graph:
        await graph.for_owner("many").put([passage(f"p{n}", vector=anywhere(random)) for n in range(300)])
        await graph.for_owner("few").put([passage(f"p{n}", vector=anywhere(random)) for n in range(20)])

        assert len(await graph.for_owner("few").nearest(toward(1), limit=20)) == 20


async def test_passages_of_others_change_no_score(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        alice, bob = index.for_owner("alice"), index.for_owner("bob")
        await alice.put([passage("a", "apple pie"), passage("b", "apple juice"), passage("c", "plum pie")])
        before = [(hit.passage.id, hit.score) for hit in await alice.keywords("apple pie")]
        await bob.put([passage(f"p{n}", "apple") for n in range(50)])

        assert [(hit.passage.id, hit.score) for hit in await alice.keywords("apple pie")] == before


async def test_a_graph_can_be_had_for_vectors_that_are_there_already(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as exact:
        await exact.open(embedder="test", dimensions=16)
        await exact.for_owner("o").put([passage("a", vector=toward(1, dimensions=16))])

    async with index_at(postgres_url, schema=name, approximate=True) as graph:
        await graph.open(embedder="test", dimensions=16)
        assert hit_ids(await graph.for_owner("o").nearest(toward(1, dimensions=16), limit=1)) == ["a"]

    with asking(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass(%s)", [f"{name}.vectors_hnsw"]).fetchone() != (None,)


async def test_a_graph_takes_no_vectors_of_more_than_2000_numbers(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name, approximate=True) as index:
        with pytest.raises(ConfigurationError):
            await index.open(embedder="large", dimensions=2001)
        with pytest.raises(ConfigurationError):
            await index.for_owner("o").put([passage("a", vector=toward(1, dimensions=2001))])

        assert list(await index.for_owner("o").page()) == []


async def test_vectors_of_any_length_can_be_searched_exactly(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put(
            [passage("a", vector=toward(1, dimensions=3072)), passage("b", vector=toward(-1, dimensions=3072))]
        )

        assert hit_ids(await owned.nearest(toward(1, dimensions=3072))) == ["a", "b"]


async def test_words_may_be_those_of_a_language(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name, language="english") as index:
        owned = index.for_owner("o")
        await owned.put([passage("a", "She walked the dogs"), passage("b", "the cat")])

        assert hit_ids(await owned.keywords("walking a dog")) == ["a"]
        assert hit_ids(await owned.keywords("the")) == []


async def test_words_of_two_languages_cannot_be_mixed(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name, language="english") as index:
        await index.open()
    async with index_at(postgres_url, schema=name) as other:
        with pytest.raises(ConfigurationError):
            await other.open()


async def test_a_language_that_the_server_does_not_know_is_refused(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name, language="volapük") as index:
        with pytest.raises(ConfigurationError):
            await index.open()


async def test_a_rare_word_counts_for_more_than_a_common_one(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        texts = {f"p{n}": f"the report of day{n}" for n in range(30)}
        await owned.put([passage(one, text) for one, text in texts.items()])
        await owned.put([passage("the", "the the the the the")])

        assert hit_ids(await owned.keywords("the day7", limit=2))[0] == "p7"


async def test_words_that_very_many_passages_have_are_found_beside_rare_ones_and_alone(
    postgres_url: str, name: str
) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put([passage(f"p{n:04}", f"word number{n % 100}", vector=toward(1)) for n in range(2500)])

        assert len(await owned.keywords("word", limit=50)) == 50
        assert len({*hit_ids(await owned.keywords("word number7", limit=25))}) == 25
        assert all(hit.passage.text.endswith(" number7") for hit in await owned.keywords("word number7", limit=25))
        assert len(await owned.keywords("word number7", limit=30)) == 30


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_text_of_more_words_than_postgres_keeps_is_found_by_the_first_of_them(
    postgres_url: str, name: str
) -> None:
    random = Random(3)
    words = [f"{n:06x}" for n in range(50_000)]
    words += ["".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(9)) for _ in range(8_000)]
    random.shuffle(words)
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put([passage("a", "first " + " ".join(words)), passage("b", "x " * 300_000)])

        assert hit_ids(await owned.keywords("first")) == ["a"]
        assert hit_ids(await owned.keywords("x")) == ["b"]
        assert [len(found.text) for found in await owned.get(["b"])] == [600_000]


@pytest.mark.parametrize("after", ["b\0c", "b\ud800c"])
async def test_a_page_may_begin_behind_what_cannot_be_stored(postgres_url: str, name: str, after: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        await index.for_owner("o").put([passage(one) for one in ("a", "b", "bd", "c")])

        assert ids(await index.for_owner("o").page(after=after)) == ["bd", "c"]


async def test_times_that_are_no_numbers_bound_nothing_in(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put([passage("a", at=1.0)])
        nan = Where(until=float("nan"))

        assert list(await owned.page(where=nan)) == []
        assert list(await owned.nearest(toward(1), where=nan)) == []
        assert await owned.delete_where(nan) == 0
        assert ids(await owned.page(where=Where(since=float("-inf"), until=float("inf")))) == ["a"]


async def test_two_that_settle_different_vectors_at_once_leave_those_of_one(postgres_url: str, name: str) -> None:
    refused: list[int] = []

    async def put(index: PostgresIndex, length: int) -> None:
        try:
            await index.for_owner("o").put([passage(f"p{length}", vector=toward(1, dimensions=length))])
        except InputError:
            refused.append(length)
        except ConfigurationError:
            refused.append(length)

    async with index_at(postgres_url, schema=name) as one, index_at(postgres_url, schema=name) as other:
        await one.open()
        await other.open()
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(put, one, 3)
                tasks.start_soon(put, other, 4)
        assert len(refused) == 1
        assert len(await one.for_owner("o").page()) == 1

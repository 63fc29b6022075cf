from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from pinecone.index import Index

from assistant_kit.errors import InputError, StoreError, StoreUnavailable
from assistant_kit.indexes.pinecone import MAX_METADATA, PineconeIndex
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index import IndexConformance
from assistant_kit.testing.conformance.index_workbench import DIMENSIONS, hit_ids, ids, passage, toward
from tests.indexes.loopback import answering
from tests.indexes.pinecone_server import KEY, PineconeServer

pytestmark = pytest.mark.anyio

FIXED = "a Pinecone index has its dimension from the beginning"


class TestPineconeIndex(IndexConformance):
    finds_words = False

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Threads do the work: one event loop is enough for the whole suite, the tests below run on both."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _client(self) -> Iterator[None]:
        with connected(PineconeServer(DIMENSIONS)) as client:
            self.client = client
            yield

    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (each test has a server of its own)
        return PineconeIndex(self.client)

    async def test_the_first_vector_settles_the_length(self, blank: SearchIndex) -> None:  # noqa: ARG002
        pytest.skip(FIXED)

    async def test_nothing_is_settled_before_the_first_vector(
        self,
        index: SearchIndex,  # noqa: ARG002
        tmp_path: Path,  # noqa: ARG002
    ) -> None:
        pytest.skip(FIXED)

    async def test_any_text_comes_back_to_the_letter(self, alice: OwnedIndex) -> None:  # noqa: ARG002
        pytest.skip("the longest of these texts is above the limit of Pinecone: see below")


@contextmanager
def connected(server: PineconeServer) -> Generator[Index]:
    with answering(server.answer) as url, Index(host=url, api_key=KEY, ssl_verify=False) as client:
        yield client


async def test_an_owner_has_a_namespace_with_a_name_that_pinecone_can_hold() -> None:
    server = PineconeServer(DIMENSIONS)
    with connected(server) as client:
        index = PineconeIndex(client)
        await index.open(embedder="test")
        await index.for_owner("Ölaf").put([passage("ä", "text 😀", vector=toward(1), labels={"k": True}, source=" s")])

        assert hit_ids(await index.for_owner("Ölaf").nearest(toward(1), where=Where(source=" s"))) == ["ä"]
        assert list(await index.owners()) == ["Ölaf"]
        assert list(server.namespaces) == ["assistant_kit", "Ölaf".encode().hex()]


async def test_a_text_that_is_too_large_is_refused_before_it_is_sent() -> None:
    server = PineconeServer(DIMENSIONS)
    with connected(server) as client:
        owned = PineconeIndex(client).for_owner("o")
        await owned.put([passage("a", "x" * (MAX_METADATA - 200))])
        with pytest.raises(InputError):
            await owned.put([passage("b"), passage("c", "x" * MAX_METADATA)])

        assert ids(await owned.page()) == ["a"]


async def test_names_of_more_bytes_than_pinecone_holds_are_refused() -> None:
    with connected(PineconeServer(DIMENSIONS)) as client:
        index = PineconeIndex(client)
        with pytest.raises(InputError):
            index.for_owner("é" * 200)
        with pytest.raises(InputError):
            await index.for_owner("o").put([passage("é" * 200)])

        assert list(await index.for_owner("o").get(["é" * 200])) == []


async def test_long_ids_are_asked_for_in_several_requests() -> None:
    server = PineconeServer(DIMENSIONS)
    with connected(server) as client:
        owned = PineconeIndex(client).for_owner("o")
        names = [f"{n:0250}" for n in range(120)]
        await owned.put([passage(name) for name in names])

        assert ids(await owned.get(names)) == names
        assert all(len(str(request.query)) < 8000 for request in server.requests)


async def test_owners_of_several_pages_are_listed() -> None:
    with connected(PineconeServer(DIMENSIONS)) as client:
        index = PineconeIndex(client)
        names = [f"o{n:02}" for n in range(60)]
        for name in names:
            await index.for_owner(name).put([passage("a")])

        assert list(await index.owners()) == names
        assert "127.0.0.1" in repr(index)


async def test_a_wrong_key_is_an_error_of_the_store() -> None:
    with (
        answering(PineconeServer(DIMENSIONS).answer) as url,
        Index(host=url, api_key="another") as client,
        anyio.fail_after(30),
        pytest.raises(StoreError) as caught,
    ):
        await PineconeIndex(client).open()

    assert type(caught.value) is StoreError


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the client tries several times, with pauses
async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        Index(host="http://127.0.0.1:1", api_key=KEY) as client,
        anyio.fail_after(30),
        pytest.raises(StoreUnavailable),
    ):
        await PineconeIndex(client).open()

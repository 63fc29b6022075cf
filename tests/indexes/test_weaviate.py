from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import grpc
import pytest
import weaviate
from weaviate import WeaviateClient
from weaviate.classes.init import Auth

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.indexes.weaviate import WeaviateIndex
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.testing.conformance.index import IndexConformance
from assistant_kit.testing.conformance.index_workbench import hit_ids, ids, passage, toward
from tests.indexes.weaviate_server import KEY, WeaviateServer

pytestmark = pytest.mark.anyio


@contextmanager
def connected(server: WeaviateServer) -> Generator[WeaviateClient]:
    with server.running() as (url, grpc_port):
        client = weaviate.connect_to_custom(
            http_host="127.0.0.1",
            http_port=urlsplit(url).port or 0,
            http_secure=False,
            grpc_host="127.0.0.1",
            grpc_port=grpc_port,
            grpc_secure=False,
            auth_credentials=Auth.api_key(KEY),
            skip_init_checks=True,
        )
        with client:
            yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[WeaviateServer, WeaviateClient]]:
    server = WeaviateServer()
    with connected(server) as client:
        yield server, client


class TestWeaviateIndex(IndexConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        """Threads do the work: one event loop is enough for the whole suite, the tests below run on both."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _emptied(self, shared: tuple[WeaviateServer, WeaviateClient]) -> None:
        server, self.client = shared
        server.empty()

    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (the server is empty)
        return WeaviateIndex(self.client)


async def test_an_owner_has_a_tenant_that_is_gone_after_an_erasure() -> None:
    server = WeaviateServer()
    with connected(server) as client:
        index = WeaviateIndex(client)
        await index.for_owner("Ölaf").put([passage("ä", "some words", labels={"k": True})])
        assert hit_ids(await index.for_owner("Ölaf").keywords("words")) == ["ä"]
        assert hit_ids(await index.for_owner("Ölaf").nearest(toward(1))) == ["ä"]
        assert len(server.tenants) == 2

        assert await index.for_owner("Ölaf").erase() == 1

        assert list(server.tenants) == ["assistant_kit"]
        assert list(await index.owners()) == []


async def test_more_passages_than_a_page_of_the_server_are_listed_and_deleted() -> None:
    with connected(WeaviateServer()) as client:
        owned = WeaviateIndex(client).for_owner("o")
        await owned.put([passage(f"p{n:04}") for n in range(600)])

        assert len(await owned.page(limit=1000)) == 600
        assert ids(await owned.page(limit=1, after="p0598")) == ["p0599"]
        assert await owned.delete([f"p{n:04}" for n in range(600)]) == 600


@pytest.mark.parametrize("refused", [["a"], ["a", "b"]])
async def test_passages_that_the_server_refuses_are_an_error(refused: list[str]) -> None:
    server = WeaviateServer()
    with connected(server) as client:
        owned = WeaviateIndex(client).for_owner("o")
        await owned.put([passage("first")])
        server.refusing = "a bad one"
        with pytest.raises(StoreError):
            await owned.put([passage(name, "a bad one" if name in refused else "good") for name in "ab"])


async def test_a_server_that_fails_is_an_error_of_the_store() -> None:
    server = WeaviateServer()
    with connected(server) as client:
        owned = WeaviateIndex(client).for_owner("o")
        await owned.put([passage("a")])
        server.failing = grpc.StatusCode.INTERNAL
        with anyio.fail_after(30), pytest.raises(StoreError):
            await owned.nearest(toward(1))


async def test_a_closed_client_is_unavailable() -> None:
    with connected(WeaviateServer()) as client:
        client.close()
        with pytest.raises(StoreUnavailable):
            await WeaviateIndex(client).open()


async def test_a_collection_that_another_process_has_just_made_is_used() -> None:
    server = WeaviateServer(late=True)
    with connected(server) as client:
        index = WeaviateIndex(client)
        await index.for_owner("o").put([passage("a")])

        assert ids(await index.for_owner("o").page()) == ["a"]
        assert repr(index) == "WeaviateIndex('AssistantKit')"


async def test_a_collection_that_cannot_be_made_is_an_error_of_the_store() -> None:
    with connected(WeaviateServer(closed=True)) as client, pytest.raises(StoreError):
        await WeaviateIndex(client).open()

"""The memory in an index passes the suite of memories over each index."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from weaviate import WeaviateClient

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.indexes.pinecone import PineconeIndex
from assistant_kit.indexes.postgres import PostgresIndex
from assistant_kit.indexes.qdrant import QdrantIndex
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.indexes.weaviate import WeaviateIndex
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.protocols.memory import Memory
from assistant_kit.testing.conformance.memory import MemoryConformance
from tests.indexes.pinecone_server import PineconeServer
from tests.indexes.postgres_places import run
from tests.indexes.test_pinecone import connected as connected_to_pinecone
from tests.indexes.test_weaviate import connected as connected_to_weaviate
from tests.indexes.weaviate_server import WeaviateServer

pytestmark = pytest.mark.anyio

DIMENSIONS = 64
SCHEMA = "conforming_memory"


class TestInMemory(MemoryConformance):
    durable = False

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (memory has no place)
        return IndexMemory(MemoryIndex(), HashingEmbedder(DIMENSIONS))


class OnOneLoop(MemoryConformance):
    """For what has run on both event loops above: here threads do the work, and one is enough."""

    __test__ = False

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


class TestByWordsAlone(OnOneLoop):
    __test__ = True
    durable = False

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (memory has no place)
        return IndexMemory(MemoryIndex())


# --8<-- [start:suite]
@pytest.mark.anyio
class TestInSQLite(MemoryConformance):
    async def open_memory(self, folder: Path) -> Memory:
        return IndexMemory(SQLiteIndex(folder / "memories.db"), HashingEmbedder(64))


# --8<-- [end:suite]


class TestInPostgres(OnOneLoop):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = postgres_url

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (all tests use one schema)
        return IndexMemory(PostgresIndex(self.url, schema=SCHEMA, connections=2), HashingEmbedder(DIMENSIONS))

    async def remove_place(self, folder: Path) -> None:  # noqa: ARG002  (all tests use one schema)
        run(self.url, f"TRUNCATE {SCHEMA}.passages CASCADE")


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local:UserWarning")
@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
class TestInQdrant(OnOneLoop):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _client(self) -> Iterator[None]:
        self.client = QdrantClient(":memory:")
        yield
        self.client.close()

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (each test has a client of its own)
        return IndexMemory(QdrantIndex(self.client, "memories"), HashingEmbedder(DIMENSIONS))


@pytest.fixture(scope="module")
def weaviate() -> Iterator[tuple[WeaviateServer, WeaviateClient]]:
    server = WeaviateServer()
    with connected_to_weaviate(server) as client:
        yield server, client


class TestInWeaviate(OnOneLoop):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _emptied(self, weaviate: tuple[WeaviateServer, WeaviateClient]) -> None:
        server, self.client = weaviate
        server.empty()

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (the server is empty)
        return IndexMemory(WeaviateIndex(self.client), HashingEmbedder(DIMENSIONS))


class TestInPinecone(OnOneLoop):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _client(self) -> Iterator[None]:
        with connected_to_pinecone(PineconeServer(DIMENSIONS)) as client:
            self.client = client
            yield

    async def open_memory(self, folder: Path) -> Memory:  # noqa: ARG002  (each test has a server of its own)
        return IndexMemory(PineconeIndex(self.client), HashingEmbedder(DIMENSIONS))

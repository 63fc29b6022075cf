"""The code that docs/search-servers.md shows."""

from urllib.parse import urlsplit

import pytest
import weaviate
from pinecone.index import Index
from qdrant_client import QdrantClient
from weaviate.classes.init import Auth

from assistant_kit.indexes.pinecone import PineconeIndex
from assistant_kit.indexes.postgres import PostgresIndex
from assistant_kit.indexes.qdrant import QdrantIndex
from assistant_kit.indexes.weaviate import WeaviateIndex
from assistant_kit.protocols.search_index import Passage, Where
from assistant_kit.testing.conformance.index_workbench import toward
from tests.indexes.loopback import answering
from tests.indexes.pinecone_server import KEY, PineconeServer
from tests.indexes.postgres_places import database
from tests.indexes.weaviate_server import WeaviateServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]


async def test_an_index_in_postgres(postgres_url: str) -> None:
    with database(postgres_url) as url:
        vector = toward(1)
        # --8<-- [start:postgres]
        index = PostgresIndex(url, language="english")
        await index.open(embedder="my-model", dimensions=len(vector))

        alice = index.for_owner("alice")
        await alice.put([Passage(id="1", text="She walks her dogs at noon", vector=vector, labels={"kind": "habit"})])
        by_words = await alice.keywords("walking dogs", where=Where(labels={"kind": "habit"}))
        by_meaning = await alice.nearest(vector, limit=5)
        await index.aclose()
        # --8<-- [end:postgres]
    assert [hit.passage.id for hit in (*by_words, *by_meaning)] == ["1", "1"]


def test_the_sql_of_the_schema() -> None:
    # --8<-- [start:sql]
    everything = PostgresIndex.sql()
    upgrade = PostgresIndex.sql(after=2)  # from version 2 on: empty, as that is the newest
    # --8<-- [end:sql]
    assert "CREATE TABLE" in everything
    assert not upgrade


async def test_an_index_in_qdrant() -> None:
    # --8<-- [start:qdrant]
    client = QdrantClient(":memory:")  # or url="https://…:6333", api_key="…", timeout=10
    index = QdrantIndex(client, "assistant_kit")
    # --8<-- [end:qdrant]
    await index.open()
    client.close()


async def test_an_index_in_weaviate() -> None:
    with WeaviateServer().running() as (url, grpc_port):
        host, http_port, key = "127.0.0.1", urlsplit(url).port or 0, KEY
        # --8<-- [start:weaviate]
        client = weaviate.connect_to_local(
            host, http_port, grpc_port, auth_credentials=Auth.api_key(key), skip_init_checks=True
        )
        index = WeaviateIndex(client, "AssistantKit")
        # --8<-- [end:weaviate]
        await index.open()
        client.close()


async def test_an_index_in_pinecone() -> None:
    vector = toward(1)
    with answering(PineconeServer(len(vector)).answer) as host:
        key = KEY
        # --8<-- [start:pinecone]
        client = Index(host=host, api_key=key)
        index = PineconeIndex(client)
        # --8<-- [end:pinecone]
        await index.open(embedder="my-model", dimensions=len(vector))
        client.close()

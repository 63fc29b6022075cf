"""Indexes by their addresses: nothing is asked before the first use, and what was connected is left at the end."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from assistant_kit.errors import ConfigurationError, MissingDependency, StoreUnavailable, UnknownStore
from assistant_kit.indexes import make_search_index
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.indexes.pinecone import PineconeIndex
from assistant_kit.indexes.postgres import PostgresIndex
from assistant_kit.indexes.qdrant import QdrantIndex
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.indexes.weaviate import WeaviateIndex
from assistant_kit.testing.conformance.index_workbench import DIMENSIONS, hit_ids, passage, toward
from tests.indexes.loopback import Request, answering
from tests.indexes.pinecone_server import KEY, PineconeServer
from tests.indexes.weaviate_server import WeaviateServer
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("address", "kind", "named"),
    [
        ("memory:", MemoryIndex, ""),
        ("sqlite:///passages%20of%20all.db", SQLiteIndex, ""),
        ("postgresql://somebody:hush@db.example/web", PostgresIndex, "db.example"),
        ("postgres://db.example/web", PostgresIndex, "db.example"),
        ("qdrant://127.0.0.1:9", QdrantIndex, "assistant_kit"),
        ("qdrants://:hush@qdrant.example/passages", QdrantIndex, "passages"),
        ("weaviate://127.0.0.1:9", WeaviateIndex, "AssistantKit"),
        ("weaviates://:hush@weaviate.example/Passages?grpc_port=443", WeaviateIndex, "Passages"),
        ("pinecone://:hush@passages", PineconeIndex, "passages"),
        ("pinecone://:hush@passages-x1.svc.example", PineconeIndex, "passages-x1.svc.example"),
        ("pinecone+http://:hush@127.0.0.1:9", PineconeIndex, "127.0.0.1:9"),
    ],
)
async def test_an_address_stands_for_an_index_that_nobody_is_asked_for_yet(
    address: str, kind: type[object], named: str
) -> None:
    index = make_search_index(address)
    assert type(index) is kind
    assert named in repr(index)
    assert "hush" not in repr(index)
    await index.aclose()


@pytest.mark.parametrize(
    "address",
    [
        "qdrant://",
        "qdrant://:hush@host:port",
        "qdrant://hush@host",
        "qdrant://host/one/two?key=hush",
        "qdrant://host?key=hush",
        "qdrant://host#hush",
        "weaviate://host?grpc_port=many",
        "weaviate://host?key=hush",
        "pinecone://index",
        "pinecone://:hush@index/name",
        "sqlite:///x.db?mode=1",
        "postgresql://host?nothing=1",
    ],
)
def test_an_address_that_cannot_be_read_is_told_without_its_secrets(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError) as failure:
        make_search_index(address)
    assert "hush" not in str(failure.value)


@pytest.mark.parametrize("kind", [SQLiteIndex, PostgresIndex, QdrantIndex, WeaviateIndex, PineconeIndex])
def test_an_address_of_another_kind_is_refused(kind: Any) -> None:
    with pytest.raises(UnknownStore):
        kind.from_address("redis://host")
    with pytest.raises(UnknownStore) as failure:
        make_search_index("redis://:hush@host")
    assert failure.value.address == "redis://:…@host"


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [
        ("postgresql://host/db", "postgres", "pgvector"),
        ("qdrant://host", "qdrant", "qdrant"),
        ("weaviate://host", "weaviate", "weaviate"),
        ("pinecone://:key@index", "pinecone", "pinecone"),
    ],
)
def test_a_missing_package_is_told_when_its_address_is_used(
    address: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages: Mapping[str, str] = {"postgres": "psycopg", "qdrant": "qdrant_client"}
    for loaded in [name for name in sys.modules if name.startswith(f"assistant_kit.indexes.{module}")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, packages.get(module, module), None)
    with pytest.raises(MissingDependency) as caught:
        make_search_index(address)
    assert caught.value.extra == extra


async def test_an_sqlite_index_by_its_address(tmp_path: Path) -> None:
    index = make_search_index(f"sqlite:///{tmp_path}/passages%20of%20all.db")
    await index.for_owner("ann").put([passage("a", "some words")])
    assert hit_ids(await index.for_owner("ann").keywords("words")) == ["a"]
    await index.aclose()
    assert (tmp_path / "passages of all.db").exists()


async def test_a_weaviate_index_by_its_address() -> None:
    with WeaviateServer().running() as (url, grpc_port):
        index = make_search_index(f"weaviate://:{KEY}@127.0.0.1:{urlsplit(url).port}/Notes?grpc_port={grpc_port}")
        for _ in range(2):  # it connects again after it was closed
            await index.for_owner("ann").put([passage("a", "some words", vector=toward(1))])
            assert hit_ids(await index.for_owner("ann").nearest(toward(1))) == ["a"]
            await index.aclose()


async def test_a_pinecone_index_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(PineconeServer(DIMENSIONS).answer) as url:
        place = url.removeprefix("http://")
        monkeypatch.setenv("PINECONE_API_KEY", KEY)
        for address in (f"pinecone+http://:{KEY}@{place}", f"pinecone+http://{place}"):
            index = make_search_index(address)
            await index.for_owner("ann").put([passage("a", "some words", vector=toward(1))])
            assert hit_ids(await index.for_owner("ann").nearest(toward(1))) == ["a"]
            await index.aclose()


async def test_a_pinecone_index_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    server = PineconeServer(DIMENSIONS)
    with answering(server.answer) as url:

        def control(request: Request) -> tuple[int, Any]:
            assert request.path == "/indexes/passages"
            where = {"deployment_type": "managed", "cloud": "aws", "region": "x"}
            about: Any = {"name": "passages", "host": url, "status": READY, "schema": {"fields": {}}}
            return 200, {**about, "deployment": where, "deletion_protection": "disabled"}

        with answering(control) as controller:
            monkeypatch.setenv("PINECONE_CONTROLLER_HOST", controller)
            index = make_search_index(f"pinecone://:{KEY}@passages")
            await index.open()
            await index.aclose()
    assert len(server.requests) > 0


READY = {"ready": True, "state": "Ready"}


@pytest.mark.parametrize("scheme", ["qdrant", "weaviate"])
async def test_a_server_that_is_not_there_is_told_at_the_first_use(scheme: str) -> None:
    index = make_search_index(f"{scheme}://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable):
        await index.open()
    await index.aclose()

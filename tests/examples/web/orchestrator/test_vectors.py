"""Passages of documents in an index of their own, by the address of it."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from assistant_kit import HashingEmbedder
from tests.examples.web.orchestrator.world import running, text_of
from tests.indexes.loopback import answering
from tests.indexes.pinecone_server import PineconeServer
from tests.indexes.weaviate_server import KEY, WeaviateServer

pytestmark = pytest.mark.anyio

CONTRACT = b"# Flat\n\nThe notice period is three months.\n\n# Cellar\n\nThe cellar is damp.\n"


@contextmanager
def weaviate() -> Generator[str]:
    with WeaviateServer().running() as (url, grpc_port):
        yield f"weaviate://:{KEY}@127.0.0.1:{urlsplit(url).port}/Uploads?grpc_port={grpc_port}"


@contextmanager
def pinecone() -> Generator[str]:
    """A server that finds by vectors alone."""
    with answering(PineconeServer(HashingEmbedder().dimensions).answer) as url:
        yield url.replace("http://", f"pinecone+http://:{KEY}@")


@pytest.mark.parametrize("server", [weaviate, pinecone])
async def test_a_file_is_cited_from_where_its_passages_are_and_gone_from_there_when_it_is_deleted(
    server: Callable[[], AbstractContextManager[str]], tmp_path: Path, valkey_url: str
) -> None:
    with server() as address:
        async with running(tmp_path, valkey_url, vectors_url=address) as world:
            ann, bob = world.person(), world.person()
            file = (await ann.upload("contract.md", CONTRACT)).json()
            question = "What does it say about the notice period?"
            events = await ann.say(await ann.begin(), question, files=(file["id"],))
            assert "three months" in text_of(events)
            (cited,) = events[-1].data["citations"]
            assert (cited["source"], cited["place"][:4]) == (file["id"], "line")
            assert "three months" not in text_of(await bob.say(await bob.begin(), question))
            owners = await world.parts.index.owners()
            assert len(owners) == 1
            assert (await ann.ask("DELETE", f"/files/{file['id']}")).status_code == 204
            assert await world.parts.index.for_owner(owners[0]).page() == []
        assert not [file async for file in anyio.Path(tmp_path).glob("*.documents*")]

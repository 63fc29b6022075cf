"""Our embedders pass the suite of embedders."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import openai
import pytest

from assistant_kit.embedders.cached import CachedEmbedder
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.embedders.openai import EmbeddingLimits, OpenAIEmbedder
from assistant_kit.embedders.small import SmallEmbedder
from assistant_kit.protocols.embedder import Embedder
from assistant_kit.testing.conformance.embedder import EmbedderConformance
from tests.embedders.embedding_server import EmbeddingServer, Reply, encoded, listed

pytestmark = pytest.mark.anyio


# --8<-- [start:suite]
@pytest.mark.anyio
class TestHashingEmbedder(EmbedderConformance):
    async def open_embedder(self, folder: Path) -> Embedder:  # noqa: ARG002  (it keeps no file)
        return HashingEmbedder()


# --8<-- [end:suite]


class TestCachedEmbedder(EmbedderConformance):
    async def open_embedder(self, folder: Path) -> Embedder:
        return CachedEmbedder(HashingEmbedder(), path=folder / "vectors.db")


class Lent:
    """An embedder that stays open for other tests, and the client that it may have been given."""

    def __init__(self, embedder: Embedder, client: openai.AsyncOpenAI | None = None) -> None:
        self.name: str = embedder.name
        self.dimensions: int | None = embedder.dimensions
        self.embed = embedder.embed
        self._client = client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()


@pytest.fixture(scope="module")
def small() -> SmallEmbedder:
    return SmallEmbedder()  # loading it takes a second


class TestSmallEmbedder(EmbedderConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        """Threads do the work: one event loop is enough."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _loaded(self, small: SmallEmbedder) -> None:
        self.small = small

    async def open_embedder(self, folder: Path) -> Embedder:  # noqa: ARG002  (it keeps no file)
        return Lent(self.small)  # test_small.py closes one


def vector_of(text: str) -> list[float]:
    """The vector that a server has for a text: a bag of words of length 1."""
    counts = Counter(crc32(word.encode()) % 64 for word in (text.casefold().split() or [""]))
    length = math.hypot(*counts.values())
    return [counts[place] / length for place in range(64)]


def answering(body: dict[str, Any]) -> Reply:
    return Reply(body=listed([encoded(vector_of(text)) for text in body["input"]]))


class TestOpenAIEmbedder(EmbedderConformance):
    serves_event_loops = False  # the client that it is given has sockets of one loop

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with EmbeddingServer(answering=answering) as self.server:
            yield

    async def open_embedder(self, folder: Path) -> Embedder:  # noqa: ARG002  (it keeps no file)
        limits = EmbeddingLimits(texts=64)
        # Without certificates, which nobody needs on loopback and which take a while to load.
        http = openai.DefaultAsyncHttpxClient(verify=False)
        client = openai.AsyncOpenAI(base_url=self.server.base_url, api_key="k", http_client=http)
        return Lent(OpenAIEmbedder("m", client=client, limits=limits), client)

"""The code that docs/embedders.md shows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant_kit.embedders.cached import CachedEmbedder
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.embedders.openai import EmbeddingLimits, OpenAIEmbedder
from assistant_kit.protocols.embedder import Embedder, Purpose, Vector
from assistant_kit.token_counters.background import BackgroundCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.embedders.embedding_server import EmbeddingServer

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "embedders.md"


async def test_a_compatible_server_with_a_cache(tmp_path: Path) -> None:
    with EmbeddingServer() as server:
        base_url, folder = server.base_url, tmp_path
        # --8<-- [start:openai]
        small_model = OpenAIEmbedder(
            "all-minilm-l6-v2",
            base_url=base_url,
            api_key="none",
            limits=EmbeddingLimits(texts=256, text_tokens=512),
        )
        embedder = CachedEmbedder(small_model, path=folder / "vectors.db")
        try:
            vectors = await embedder.embed(["Anna lives in Oslo.", "Anna is allergic to nuts."])
        finally:
            await embedder.aclose()
        # --8<-- [end:openai]
    assert len(vectors) == 2


def test_the_model_of_openai_is_made_without_a_network() -> None:
    # --8<-- [start:counter]
    counter = BackgroundCounter("cl100k_base", until=UpperBound())
    embedder = OpenAIEmbedder("text-embedding-3-small", dimensions=512, counter=counter)
    # --8<-- [end:counter]
    assert embedder.name == "openai:text-embedding-3-small/512"


# --8<-- [start:own]
class Prefixed:
    """Puts before each text what a model of the E5 family wants to read there."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return f"{self._inner.name}+prefix"  # other vectors, so another name

    @property
    def dimensions(self) -> int | None:
        return self._inner.dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        prefix = "query: " if purpose == "query" else "passage: "
        return await self._inner.embed([prefix + text for text in texts], purpose=purpose)

    async def aclose(self) -> None:
        await self._inner.aclose()
        # --8<-- [end:own]


async def test_an_embedder_of_ones_own_is_a_few_lines() -> None:
    inner = HashingEmbedder(64)
    own: Embedder = Prefixed(inner)
    assert await own.embed(["x"], purpose="query") == await inner.embed(["query: x"])
    assert await own.embed(["x"]) == await inner.embed(["passage: x"])
    assert (own.name, own.dimensions) == ("hashing-1/64+prefix", 64)
    await own.aclose()


def test_the_page_names_every_limit() -> None:
    page = PAGE.read_text("utf-8")
    assert all(f"`{name}`" in page for name in EmbeddingLimits.__dataclass_fields__)

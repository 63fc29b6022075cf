"""The code of docs/search-indexes.md."""

import os
from pathlib import Path

import pytest

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.indexes import make_search_index
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.protocols.search_index import Passage, Where
from assistant_kit.retrieval import fuse

pytestmark = pytest.mark.anyio


async def test_an_address_names_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSAGES_URL", "sqlite:///passages.db")
    # --8<-- [start:address]
    index = make_search_index(os.environ["PASSAGES_URL"])
    # --8<-- [end:address]
    await index.open()
    await index.aclose()
    assert (tmp_path / "passages.db").exists()


async def test_passages_are_put_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # --8<-- [start:use]
    embedder = HashingEmbedder()
    index = SQLiteIndex("passages.db")
    await index.open(embedder=embedder.name, dimensions=embedder.dimensions)

    texts = ["The owl sleeps by day.", "Trains to Oslo leave at noon."]
    vectors = await embedder.embed(texts)
    owned = index.for_owner("u1")
    await owned.put(
        [
            Passage(id=f"guide-{n}", text=text, source="guide.md", labels={"chapter": n}, vector=vector)
            for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]
    )

    (asked,) = await embedder.embed(["When is the train to Oslo?"], purpose="query")
    by_words = await owned.keywords("When is the train to Oslo?", where=Where(source="guide.md"))
    by_vector = await owned.nearest(asked, where=Where(source="guide.md"))
    best = fuse([by_words, by_vector])[0].passage  # the train

    await owned.delete_where(Where(source="guide.md"))  # a document is deleted by its source
    await index.aclose()
    # --8<-- [end:use]
    assert best.id == "guide-1"

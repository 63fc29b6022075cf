from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from qdrant_client import QdrantClient

from assistant_kit.errors import StoreError, StoreUnavailable
from assistant_kit.indexes.qdrant import QdrantIndex
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.testing.conformance.index import IndexConformance
from assistant_kit.testing.conformance.index_workbench import hit_ids, ids, passage, toward
from tests.indexes.loopback import Request, answering

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]


class TestQdrantIndex(IndexConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        """Threads do the work: one event loop is enough for the whole suite, the tests below run on both."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _client(self) -> Iterator[None]:
        self.client = QdrantClient(":memory:")
        yield
        self.client.close()

    async def open_index(self, folder: Path) -> SearchIndex:  # noqa: ARG002  (each test has a client of its own)
        return QdrantIndex(self.client, "passages")


async def test_a_folder_keeps_what_was_put(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        first = QdrantClient(path=str(tmp_path), force_disable_check_same_thread=True)
        await QdrantIndex(first).for_owner("o").put([passage("a", "some words", labels={"k": True})])
        first.close()

        again = QdrantClient(path=str(tmp_path), force_disable_check_same_thread=True)
        owned = QdrantIndex(again).for_owner("o")
        assert [found.labels for found in await owned.get(["a"])] == [{"k": True}]
        assert hit_ids(await owned.nearest(toward(1))) == ["a"]
        assert hit_ids(await owned.keywords("words")) == ["a"]
        again.close()


def test_an_index_shows_its_collection() -> None:
    client = QdrantClient(":memory:")
    assert repr(QdrantIndex(client, "passages")) == "QdrantIndex('passages')"
    client.close()


async def test_more_passages_than_a_page_of_the_server_are_listed() -> None:
    client = QdrantClient(":memory:")
    owned = QdrantIndex(client).for_owner("o")
    await owned.put([passage(f"p{n:04}") for n in range(1100)])

    assert len(await owned.page(limit=2000)) == 1100
    assert ids(await owned.page(limit=1, after="p1098")) == ["p1099"]
    client.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = QdrantClient(url="http://127.0.0.1:1", check_compatibility=False)
    with anyio.fail_after(30), pytest.raises(StoreUnavailable):
        await QdrantIndex(client).for_owner("o").put([passage("a")])
    client.close()


async def _opened(status: int) -> tuple[list[str], StoreError]:
    """Open an index on a server without collections that answers attempts to make one with this status."""
    asked: list[str] = []

    def answer(request: Request) -> tuple[int, Any]:
        asked.append(f"{request.method} {request.path}")
        assert request.headers["api-key"] == "a-key"
        if request.method == "GET":
            return 200, {"result": {"exists": False}, "status": "ok", "time": 0.0}
        return (status if len(asked) == 2 else 400), {"status": {"error": "no"}, "time": 0.0}

    with answering(answer) as url:
        with pytest.warns(UserWarning, match="insecure"):
            client = QdrantClient(url=url, api_key="a-key", check_compatibility=False)
        with anyio.fail_after(30), pytest.raises(StoreError) as caught:
            await QdrantIndex(client, "passages").open()
        client.close()
    return asked, caught.value


async def test_a_request_that_is_refused_is_an_error_of_the_store() -> None:
    asked, error = await _opened(403)

    assert asked == ["GET /collections/passages/exists", "PUT /collections/passages"]
    assert type(error) is StoreError


async def test_a_server_that_fails_is_unavailable() -> None:
    _, error = await _opened(503)

    assert type(error) is StoreUnavailable


async def test_a_collection_that_another_process_has_just_made_is_used() -> None:
    asked, _ = await _opened(409)

    assert asked[2:] == ["PUT /collections/passages/index"]

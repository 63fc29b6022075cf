"""Each text is embedded once."""

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.embedders.cached import CachedEmbedder
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import ConfigurationError, ModelUnavailable, StoreUnavailable
from assistant_kit.protocols.embedder import Purpose, Vector

pytestmark = pytest.mark.anyio


class Counting:
    """An embedder that keeps what it is asked, and waits or fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.gate: anyio.Event | None = None
        self.closed: int = 0
        self.name: str = "counting"
        self.inner: HashingEmbedder = HashingEmbedder(16)
        self.dimensions: int | None = 16

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        self.asked.append(list(texts))
        await anyio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await self.inner.embed(texts, purpose=purpose)

    async def aclose(self) -> None:
        self.closed += 1


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_a_text_is_embedded_once() -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder)
    first = await cached.embed(["a", "b", "a"])
    again = await cached.embed(["c", "b", "a"])
    assert list(first) == list(await embedder.inner.embed(["a", "b", "a"]))
    assert list(again) == list(await embedder.inner.embed(["c", "b", "a"]))
    assert embedder.asked == [["a", "b"], ["c"]]
    assert await cached.embed([]) == []


async def test_purpose_and_embedder_are_told_apart() -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder)
    await cached.embed(["a"])
    await cached.embed(["a"], purpose="query")
    embedder.name = "another"
    await cached.embed(["a"])
    assert embedder.asked == [["a"], ["a"], ["a"]]


async def test_the_vectors_that_were_not_used_for_long_go_first() -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder, size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await cached.embed([text])
    assert embedder.asked == [["a"], ["b"], ["c"], ["b"]]


async def test_a_text_that_is_asked_for_several_times_at_once_is_embedded_once() -> None:
    embedder = Counting()
    embedder.gate = anyio.Event()
    cached = CachedEmbedder(embedder)
    found: list[Sequence[Vector]] = []

    async def ask(*texts: str) -> None:
        found.append(await cached.embed(texts))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "a", "b")
            group.start_soon(ask, "b", "c")
            group.start_soon(ask, "c", "a")
            await anyio.wait_all_tasks_blocked()
            embedder.gate.set()

    assert sorted(text for texts in embedder.asked for text in texts) == ["a", "b", "c"]
    assert len(found) == 3


async def test_when_the_one_who_asks_leaves_another_asks() -> None:
    embedder = Counting()
    embedder.gate = anyio.Event()
    cached = CachedEmbedder(embedder)
    found: list[Sequence[Vector]] = []

    async def ask() -> None:
        found.append(await cached.embed(["a"]))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(ask)
                    await anyio.wait_all_tasks_blocked()
                    group.start_soon(ask)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
            embedder.gate.set()

    assert len(found) == 1
    assert embedder.asked == [["a"], ["a"]]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    embedder = Counting()
    embedder.gate, embedder.error = anyio.Event(), ModelUnavailable("down", model="m")
    cached = CachedEmbedder(embedder)
    failures: list[Exception] = []

    async def ask() -> None:
        try:
            await cached.embed(["a"])
        except ModelUnavailable as error:
            failures.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            embedder.gate.set()
    assert failures == [embedder.error, embedder.error]
    assert embedder.asked == [["a"]]

    embedder.error = None
    assert len(await cached.embed(["a"])) == 1


async def test_a_file_keeps_vectors_for_the_next_process(tmp_path: Path) -> None:
    embedder, path = Counting(), tmp_path / "vectors.db"
    first = CachedEmbedder(embedder, path=path)
    texts = [f"text {number}" for number in range(600)]  # more than one question
    vectors = await first.embed(texts)
    await first.aclose()
    embedder.asked.clear()

    again = CachedEmbedder(embedder, path=path)
    assert list(await again.embed([*texts, "new"])) == [*vectors, *await embedder.inner.embed(["new"])]
    assert embedder.asked == [["new"]]
    await again.aclose()


async def test_the_oldest_vectors_leave_the_file_first(tmp_path: Path) -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder, size=1, path=tmp_path / "vectors.db", file_size=3)
    for text in "abcde":
        await cached.embed([text])
    embedder.asked.clear()
    for text in "cdea":
        await cached.embed([text])
    assert embedder.asked == [["a"]]
    await cached.aclose()


async def test_what_is_cleared_is_gone_from_memory_and_file(tmp_path: Path) -> None:
    embedder, path = Counting(), tmp_path / "vectors.db"
    cached = CachedEmbedder(embedder, path=path)
    (vector,) = await cached.embed(["a"])
    assert vector.tobytes() in contents(tmp_path)
    await cached.clear()
    assert vector.tobytes() not in contents(tmp_path)
    await cached.embed(["a"])
    assert embedder.asked == [["a"], ["a"]]
    await cached.aclose()

    in_memory = CachedEmbedder(Counting())
    await in_memory.clear()


async def test_a_file_that_cannot_be_used_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database, though it is long enough to be one" * 100)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as other:
        other.execute("CREATE TABLE bills (amount)")
    before = foreign.read_bytes(), broken.read_bytes()

    for path in (broken, foreign, tmp_path / "nowhere" / "vectors.db"):
        caplog.clear()
        embedder = Counting()
        cached = CachedEmbedder(embedder, size=1, path=path)
        for text in "aba":
            assert len(await cached.embed([text])) == 1
        with pytest.raises(StoreUnavailable):
            await cached.clear()
        await cached.aclose()
        assert embedder.asked == [["a"], ["b"], ["a"]]
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert (foreign.read_bytes(), broken.read_bytes()) == before


async def test_a_file_that_fills_the_disk_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    embedder, path = Counting(), tmp_path / "vectors.db"
    cached = CachedEmbedder(embedder, path=path)
    await cached.embed(["a"])
    with closing(sqlite3.connect(path)) as other:  # as a full disk would refuse it
        other.execute("CREATE TRIGGER full BEFORE INSERT ON vectors BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    assert len(await cached.embed(["b"])) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    await cached.aclose()


async def test_what_is_no_vector_in_the_file_is_made_anew(tmp_path: Path) -> None:
    embedder, path = Counting(), tmp_path / "vectors.db"
    first = CachedEmbedder(embedder, path=path)
    await first.embed(["a", "b", "c"])
    await first.aclose()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE vectors SET vector = x'000000' WHERE number = 1")
        other.execute("UPDATE vectors SET vector = zeroblob(64) WHERE number = 2")
    again = CachedEmbedder(embedder, path=path)
    await again.embed(["a", "b", "c"])
    assert embedder.asked == [["a", "b", "c"], ["a", "b"]]
    await again.aclose()


async def test_after_closing_nothing_is_kept_in_the_file_any_more(tmp_path: Path) -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder, path=tmp_path / "vectors.db")
    await cached.aclose()
    await cached.aclose()
    assert embedder.closed == 2
    assert len(await cached.embed(["a"])) == 1


async def test_it_has_the_name_and_the_dimensions_of_its_embedder() -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder)
    assert (cached.name, cached.dimensions) == ("counting", 16)
    await cached.aclose()
    assert embedder.closed == 1


def test_one_cache_serves_several_event_loops(tmp_path: Path) -> None:
    embedder = Counting()
    cached = CachedEmbedder(embedder, path=tmp_path / "vectors.db")
    anyio.run(cached.embed, ["a"])
    anyio.run(cached.embed, ["a", "b"], backend="trio")
    anyio.run(cached.aclose)
    assert embedder.asked == [["a"], ["b"]]


@pytest.mark.parametrize(("size", "file_size"), [(0, 1), (1, 0)])
async def test_sizes_that_keep_nothing_are_refused(size: int, file_size: int) -> None:
    with pytest.raises(ConfigurationError):
        CachedEmbedder(Counting(), size=size, file_size=file_size)

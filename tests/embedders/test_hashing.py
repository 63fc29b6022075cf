"""The embedder that needs no model."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.embedders.hashing import READ, HashingEmbedder
from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.embedder import Embedder, Vector
from assistant_kit.retrieval import cosine

pytestmark = pytest.mark.anyio


async def vector(text: str, embedder: Embedder | None = None) -> Vector:
    (found,) = await (embedder or HashingEmbedder()).embed([text])
    return found


async def test_vectors_are_the_same_on_every_machine_and_for_ever() -> None:
    found = await vector("The user is allergic to nuts.")
    rounded = " ".join(f"{value:.4f}" for value in found)
    assert hashlib.sha256(rounded.encode()).hexdigest()[:16] == "fe5d8f27b1d379f4"


async def test_texts_that_share_words_are_near_each_other() -> None:
    question = await vector("What am I allergic to?")
    near, far = await vector("The user is allergic to peanuts"), await vector("The user works as a nurse")
    assert cosine(question, near) > 0.3 > cosine(question, far)


async def test_words_of_one_stem_are_near_each_other() -> None:
    assert cosine(await vector("travelling"), await vector("travelled")) > 0.1


async def test_case_width_and_accents_do_not_matter() -> None:
    assert cosine(await vector("Café CRÈME"), await vector("cafe \uff43reme")) == pytest.approx(1.0)


@given(st.text(max_size=200), st.integers(2, 300))
async def test_every_text_gets_a_vector_of_length_1(text: str, dimensions: int) -> None:
    found = await vector(text, HashingEmbedder(dimensions))
    assert len(found) == dimensions
    assert math.hypot(*found) == pytest.approx(1.0, abs=1e-5)


async def test_any_number_of_texts_is_embedded_in_their_order() -> None:
    texts = [f"text number {number}" for number in range(150)]
    embedder = HashingEmbedder(16)
    together = await embedder.embed(texts)
    assert list(together) == [await vector(text, embedder) for text in texts]
    assert await embedder.embed([]) == []


async def test_a_lone_surrogate_does_no_harm() -> None:
    assert len(await vector("broken \ud800 text")) == 256


async def test_a_very_long_text_gets_the_vector_of_its_beginning() -> None:
    text = "word " * READ
    assert await vector(text) == await vector(text[:READ])


async def test_the_purpose_makes_no_difference() -> None:
    embedder = HashingEmbedder()
    assert await embedder.embed(["x"], purpose="query") == await embedder.embed(["x"])


async def test_the_name_tells_rule_and_dimensions() -> None:
    embedder = HashingEmbedder(64)
    assert (embedder.name, embedder.dimensions) == ("hashing-1/64", 64)
    await embedder.aclose()
    await embedder.aclose()


@pytest.mark.parametrize("dimensions", [-1, 0, 1, 65_537])
async def test_dimensions_that_make_no_sense_are_refused(dimensions: int) -> None:
    with pytest.raises(ConfigurationError):
        HashingEmbedder(dimensions)

"""What a server of embeddings may answer, and what it may not."""

import math

import pytest

from assistant_kit.embedders._answers import NoVectors, vectors_in
from tests.embedders.embedding_server import encoded, listed

NO_NUMBER = float("nan")


@pytest.mark.parametrize(
    "body",
    [
        listed([encoded([1, 0]), encoded([0, 1])]),
        listed([[1, 0], [0, 1]]),
        listed([[3, 0], encoded([0, 0.5])]),
        listed([], data=[{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]),
        listed([], data=[{"embedding": [1, 0]}, {"embedding": [0, 1]}]),
    ],
)
def test_vectors_are_read_in_the_order_of_the_texts_and_have_length_1(body: bytes) -> None:
    assert [list(vector) for vector in vectors_in(body, texts=2, dimensions=None)] == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "body",
    [
        listed([encoded([1, 0])]),
        listed([encoded([1, 0])] * 3),
        listed([]),
        listed([encoded([1, 0]), encoded([1, NO_NUMBER])]),
        listed([[1, 0], [1, NO_NUMBER]]),
        listed([encoded([1, 0]), encoded([math.inf, 0])]),
        listed([encoded([1, 0]), encoded([0, 0])]),
        listed([encoded([1, 0]), ""]),
        listed([encoded([1, 0]), encoded([1, 0, 0])]),
        listed([encoded([1, 0]), "AAA="]),
        listed([encoded([1, 0]), "no base64!"]),
        listed([[1, 0], ["x", 0]]),
        listed([[1, 0], None]),
        listed([[1, 0], [1e300, 0]]),
        listed([], data=[{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]),
        listed([], data=[{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}]),
        listed([], data=[{"index": 0, "embedding": [1]}, {"index": True, "embedding": [1]}]),
        listed([], data=[1, 2]),
        listed([], data={}),
        b"[]",
        b"not JSON",
        b"",
    ],
)
def test_an_answer_that_does_not_hold_the_vectors_is_refused(body: bytes) -> None:
    with pytest.raises(NoVectors):
        vectors_in(body, texts=2, dimensions=None)


def test_other_dimensions_than_were_asked_for_are_refused() -> None:
    assert len(vectors_in(listed([[1, 0]]), texts=1, dimensions=2)) == 1
    with pytest.raises(NoVectors):
        vectors_in(listed([[1, 0]]), texts=1, dimensions=3)

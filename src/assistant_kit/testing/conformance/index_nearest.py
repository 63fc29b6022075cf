"""Tests of finding passages by their vectors."""
# ruff: noqa: D102, PLR2004, S101, S311  (these are tests; their randomness has a seed and keeps no secrets)

from random import Random

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index_workbench import (
    IndexWorkbench,
    anywhere,
    assert_same,
    cosine,
    hit_ids,
    passage,
    toward,
)


class IndexNearest(IndexWorkbench):
    """The nearest are found: exactly, and as many as were asked for."""

    async def test_the_nearest_come_first_with_their_cosine(self, alice: OwnedIndex) -> None:
        put = {
            "same": passage("same", vector=toward(1), source="s", at=3.0, labels={"k": True}),
            "near": passage("near", vector=toward(1, 1)),
            "across": passage("across", vector=toward(0, 0, 1)),
            "against": passage("against", vector=toward(-1)),
        }
        await alice.put(list(put.values()))

        hits = await alice.nearest(toward(1))

        assert hit_ids(hits) == ["same", "near", "across", "against"]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0, -1.0], abs=1e-4)
        assert_same(hits[0].passage, put["same"], vector=False)

    async def test_the_nearest_of_many_are_those_that_a_full_search_finds(self, alice: OwnedIndex) -> None:
        random = Random(4)
        vectors = {f"p{n}": anywhere(random) for n in range(400)}
        await alice.put([passage(name, vector=vector) for name, vector in vectors.items()])

        for _ in range(5):
            asked = anywhere(random)
            best = sorted(vectors, key=lambda name: -cosine(vectors[name], asked))[:20]
            hits = await alice.nearest(asked, limit=20)
            assert hit_ids(hits) == best
            assert [hit.score for hit in hits] == pytest.approx(
                [cosine(vectors[name], asked) for name in best], abs=1e-4
            )

    async def test_as_many_are_found_as_there_are_however_near_those_are_that_do_not_fit(
        self, alice: OwnedIndex
    ) -> None:
        near = [passage(f"n{n}", vector=toward(1, n / 1000), labels={"k": 1}, source="n", at=1.0) for n in range(300)]
        far = [passage(f"f{n:02}", vector=toward(n, 40), labels={"k": True}, source="f", at=2.0) for n in range(40)]
        await alice.put([*near, *far])
        expected = [f"f{n:02}" for n in reversed(range(40))]

        for where in (Where(labels={"k": True}), Where(source="f"), Where(since=2.0)):
            assert hit_ids(await alice.nearest(toward(1), limit=30, where=where)) == expected[:30]
            assert hit_ids(await alice.nearest(toward(1), limit=999, where=where)) == expected

    async def test_passages_of_other_owners_do_not_crowd_out(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        await bob.put([passage(f"b{n}", vector=toward(1, n / 1000)) for n in range(300)])
        await alice.put([passage(f"a{n}", vector=toward(-1, n)) for n in range(20)])

        assert sorted(hit_ids(await alice.nearest(toward(1), limit=20))) == sorted(f"a{n}" for n in range(20))

    async def test_a_limit_above_what_there_is_finds_all(self, alice: OwnedIndex) -> None:
        await alice.put([passage(f"p{n}") for n in range(3)])

        assert len(await alice.nearest(toward(1), limit=1)) == 1
        assert len(await alice.nearest(toward(1), limit=10_000)) == 3

    async def test_passages_with_equal_vectors_are_all_found(self, alice: OwnedIndex) -> None:
        await alice.put([passage(f"p{n}", vector=toward(0, 1)) for n in range(10)])

        assert sorted(hit_ids(await alice.nearest(toward(0, 1), limit=10))) == [f"p{n}" for n in range(10)]

    async def test_where_nothing_is_nothing_is_near(self, index: SearchIndex, alice: OwnedIndex) -> None:
        assert list(await alice.nearest(toward(1))) == []
        assert list(await index.for_owner("nobody").nearest(toward(1))) == []

    async def test_less_than_one_cannot_be_near(self, alice: OwnedIndex) -> None:
        for limit in (0, -1):
            with pytest.raises(InputError):
                await alice.nearest(toward(1), limit=limit)

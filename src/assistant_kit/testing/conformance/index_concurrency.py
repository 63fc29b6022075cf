"""Tests of an index that many tasks use at once, and of tasks that go away."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index_workbench import (
    PATIENCE,
    IndexWorkbench,
    hit_ids,
    ids,
    names_of,
    passage,
    toward,
)


class IndexConcurrency(IndexWorkbench):
    """What many tasks put neither mixes nor gets lost, and a task that goes away leaves all or nothing."""

    async def test_many_tasks_put_and_search_at_once(self, alice: OwnedIndex, bob: OwnedIndex) -> None:
        async def work(owned: OwnedIndex, name: str) -> None:
            for n in range(5):
                here = f"{name}.{n}"
                await owned.put([passage(here, f"word {name}", source=name), passage(f"{here}.x", source=name)])
                assert ids(await owned.get([here])) == [here]
                assert hit_ids(await owned.nearest(passage(here).vector or toward(1), limit=1)) == [here]
                if self.finds_words:
                    assert here in hit_ids(await owned.keywords(name, limit=100))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(10):
                    tasks.start_soon(work, alice, f"c{n}")
                    tasks.start_soon(work, bob, f"c{n}")

        expected = sorted(f"c{n}.{k}{end}" for n in range(10) for k in range(5) for end in ("", ".x"))
        assert await names_of(alice) == expected
        assert await names_of(bob) == expected

    async def test_of_many_that_put_one_id_at_once_one_stays_whole(self, alice: OwnedIndex) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(20):
                    batch = [passage(name, f"text{n} of {name}", source=f"s{n}", vector=toward(1, n)) for name in "abc"]
                    tasks.start_soon(alice.put, batch)

        found = await alice.page()
        assert ids(found) == ["a", "b", "c"]
        for one in found:
            number = int(one.source[1:])
            assert one.text == f"text{number} of {one.id}"
            assert list(one.vector or ()) == pytest.approx(list(toward(1, number)), abs=1e-5)
            assert hit_ids(await alice.nearest(toward(1, number), limit=3, where=Where(source=one.source)))
        assert len(await alice.nearest(toward(1), limit=99)) == 3
        if self.finds_words:
            assert len(await alice.keywords("of", limit=99)) == 3

    async def test_a_refused_put_disturbs_none_beside_it(self, alice: OwnedIndex) -> None:
        refused: list[str] = []

        async def put(n: int) -> None:
            good = passage(f"p{n}")
            try:
                await alice.put([good, passage(f"q{n}", vector=toward(1, dimensions=5))] if n % 2 else [good])
            except InputError:
                refused.append(f"p{n}")

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(10):
                    tasks.start_soon(put, n)

        assert sorted(refused) == ["p1", "p3", "p5", "p7", "p9"]
        assert await names_of(alice) == ["p0", "p2", "p4", "p6", "p8"]

    async def test_of_several_that_delete_one_passage_one_counts_it(self, alice: OwnedIndex) -> None:
        await alice.put([passage(f"p{n}") for n in range(20)])
        counts: list[int] = []

        async def delete() -> None:
            counts.append(await alice.delete([f"p{n}" for n in range(20)]))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(delete)

        assert sum(counts) == 20
        assert await names_of(alice) == []

    @pytest.mark.parametrize("turns", [0, 1, 2, 5])
    async def test_a_cancelled_task_leaves_all_or_nothing(self, alice: OwnedIndex, turns: int) -> None:
        await alice.put([passage("a", "old"), passage("b", "old")])

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(alice.put, [passage("a", "new"), passage("b", "new"), passage("c", "new")])
                tasks.start_soon(alice.keywords, "old")
                tasks.start_soon(alice.nearest, toward(1))
                tasks.start_soon(alice.page)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        await alice.put([passage("d", "last")])
        texts = {found.id: found.text for found in await alice.page()}
        assert texts.pop("d") == "last"
        assert texts in ({"a": "old", "b": "old"}, {"a": "new", "b": "new", "c": "new"})
        assert sorted(hit_ids(await alice.nearest(toward(1)))) == sorted([*texts, "d"])

    async def test_an_erasure_among_puts_leaves_an_index_that_works(self, alice: OwnedIndex) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(5):
                    tasks.start_soon(alice.put, [passage(f"p{n}", "word")])
                tasks.start_soon(alice.erase)
                for n in range(5, 10):
                    tasks.start_soon(alice.put, [passage(f"p{n}", "word")])

        left = await names_of(alice)
        assert sorted(hit_ids(await alice.nearest(toward(1), limit=99))) == left
        if self.finds_words:
            assert sorted(hit_ids(await alice.keywords("word", limit=99))) == left

    async def test_several_event_loops_share_an_index(self, alice: OwnedIndex, anyio_backend_name: str) -> None:
        if not self.serves_event_loops:
            pytest.skip("this index serves one event loop")

        async def work(name: str) -> None:
            with anyio.fail_after(PATIENCE):
                await alice.put([passage(name, "word")])
                assert name in hit_ids(await alice.nearest(toward(1), limit=99))

        async def elsewhere(name: str) -> None:
            await anyio.to_thread.run_sync(lambda: anyio.run(work, name, backend=anyio_backend_name))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(4):
                    tasks.start_soon(elsewhere if n % 2 else work, f"p{n}")

        assert await names_of(alice) == ["p0", "p1", "p2", "p3"]

    async def test_closing_twice_is_closing(self, index: SearchIndex, alice: OwnedIndex) -> None:
        await alice.put([passage("a")])

        with anyio.fail_after(PATIENCE):
            await index.aclose()
            await index.aclose()

"""Tests of a memory that many use at once, that is opened again, and whose tasks go away."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.protocols.memory import Memory, UserMemory
from assistant_kit.testing.conformance.memory_workbench import (
    FACTS,
    PATIENCE,
    QUESTIONS,
    MemoryWorkbench,
    recalled_texts,
    remember_all,
    texts_of,
)


class MemorySharing(MemoryWorkbench):
    """What was remembered stays, is kept once whoever remembers it, and no task leaves half of it."""

    async def test_what_was_remembered_is_there_when_the_place_is_opened_again(
        self, memory: Memory, tmp_path: Path
    ) -> None:
        if not self.durable:
            pytest.skip("this memory ends with its object")
        kept = await memory.for_user("u").remember(FACTS[0], source="c/t", labels={"k": True})
        await memory.aclose()

        async with self.again(memory, tmp_path) as later:
            assert list(await later.for_user("u").memories()) == [kept]
            assert recalled_texts(await later.for_user("u").recall(QUESTIONS[0])) == [FACTS[0]]

    async def test_two_objects_on_one_place_see_what_the_other_does(self, memory: Memory, tmp_path: Path) -> None:
        async with self.again(memory, tmp_path) as other:
            here, there = memory.for_user("u"), other.for_user("u")
            kept = await here.remember(FACTS[0])
            assert recalled_texts(await there.recall(QUESTIONS[0])) == [FACTS[0]]

            assert (await there.remember(FACTS[1], replaces=kept.id)).id == kept.id
            assert await texts_of(here) == [FACTS[1]]
            assert await there.erase() == 1
            assert await texts_of(here) == []

    async def test_a_text_that_many_remember_at_once_is_kept_once(self, memory: Memory, tmp_path: Path) -> None:
        async with self.again(memory, tmp_path) as other:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for number in range(10):
                        tasks.start_soon((memory, other)[number % 2].for_user("u").remember, FACTS[0])

            assert await texts_of(memory.for_user("u")) == [FACTS[0]]

    async def test_many_remember_and_recall_at_once(self, alice: UserMemory, bob: UserMemory) -> None:
        async def work(user: UserMemory, number: int) -> None:
            text = f"Errand {number} of {number * 31 + 7} is done."
            kept = await user.remember(text)
            assert text in recalled_texts(await user.recall(text, limit=100))
            if number % 2:
                assert await user.forget(kept.id)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(work, alice, number)
                    tasks.start_soon(work, bob, number)

        expected = sorted(f"Errand {number} of {number * 31 + 7} is done." for number in range(0, 10, 2))
        assert (await texts_of(alice), await texts_of(bob)) == (expected, expected)

    @pytest.mark.parametrize("turns", [0, 1, 3, 8])
    async def test_a_cancelled_task_leaves_all_or_nothing(self, alice: UserMemory, turns: int) -> None:
        old = await alice.remember(FACTS[0])

        async def replace() -> None:
            await alice.remember(FACTS[1], replaces=old.id)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(replace)
                tasks.start_soon(alice.remember, FACTS[2])
                tasks.start_soon(alice.recall, QUESTIONS[0])
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        # What is still under way when a task goes away is done before what is asked for later.
        await alice.remember(FACTS[3])
        found = await alice.memories()
        assert {one.text for one in found} - {FACTS[2], FACTS[3]} in ({FACTS[0]}, {FACTS[1]})
        assert len({one.text for one in found}) == len(found)
        assert recalled_texts(await alice.recall(QUESTIONS[3]))[0] == FACTS[3]

    async def test_an_erasure_while_others_remember_leaves_a_memory_that_works(self, alice: UserMemory) -> None:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for fact in FACTS[:3]:
                    tasks.start_soon(alice.remember, fact)
                tasks.start_soon(alice.erase)

        await remember_all(alice)
        assert await texts_of(alice) == sorted(FACTS)
        assert recalled_texts(await alice.recall(QUESTIONS[4]))[0] == FACTS[4]

    async def test_several_event_loops_share_a_memory(self, alice: UserMemory, anyio_backend_name: str) -> None:
        if not self.serves_event_loops:
            pytest.skip("this memory serves one event loop")

        async def work(text: str) -> None:
            with anyio.fail_after(PATIENCE):
                await alice.remember(text)
                assert text in recalled_texts(await alice.recall(text))

        async def elsewhere(text: str) -> None:
            await anyio.to_thread.run_sync(lambda: anyio.run(work, text, backend=anyio_backend_name))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number, fact in enumerate(FACTS):
                    tasks.start_soon(elsewhere if number % 2 else work, fact)

        assert await texts_of(alice) == sorted(FACTS)

    async def test_opening_and_closing_twice_are_opening_and_closing(self, memory: Memory, alice: UserMemory) -> None:
        with anyio.fail_after(PATIENCE):
            await memory.open()
            await memory.open()
            await alice.remember(FACTS[0])
            assert await texts_of(alice) == [FACTS[0]]
            await memory.aclose()
            await memory.aclose()

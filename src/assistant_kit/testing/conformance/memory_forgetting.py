"""Tests of what is left of what was forgotten: nothing."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from assistant_kit.protocols.memory import Memory, UserMemory
from assistant_kit.testing.conformance.memory_workbench import (
    FACTS,
    MISSING,
    QUESTIONS,
    MemoryWorkbench,
    recalled_texts,
    remember_all,
    remember_later,
    texts_of,
)


class MemoryForgetting(MemoryWorkbench):
    """What is forgotten is found no more: neither in the list nor by any question."""

    async def test_a_forgotten_memory_is_found_no_more(self, alice: UserMemory) -> None:
        kept = await remember_all(alice)

        assert await alice.forget(kept[1].id)

        assert not await alice.forget(kept[1].id)
        assert await texts_of(alice) == sorted(text for text in FACTS if text != FACTS[1])
        for question in QUESTIONS:
            assert FACTS[1] not in recalled_texts(await alice.recall(question))

    async def test_forgetting_what_is_not_there_says_so(self, alice: UserMemory) -> None:
        await alice.remember(FACTS[0])

        for missing in (*MISSING, ""):
            assert not await alice.forget(missing)

        assert await texts_of(alice) == [FACTS[0]]

    async def test_what_was_forgotten_can_be_learned_again(self, alice: UserMemory) -> None:
        await alice.forget((await alice.remember(FACTS[0], labels={"k": 1}, source="s")).id)

        again = await alice.remember(FACTS[0])

        assert (again.labels, again.source) == ({}, "")
        assert list(await alice.memories()) == [again]
        assert recalled_texts(await alice.recall(QUESTIONS[0])) == [FACTS[0]]

    async def test_an_erased_user_has_nothing_and_others_have_theirs(self, alice: UserMemory, bob: UserMemory) -> None:
        await remember_all(alice)
        kept = await bob.remember(FACTS[0])

        assert await alice.erase() == len(FACTS)

        assert list(await alice.memories()) == []
        for question in QUESTIONS:
            assert list(await alice.recall(question)) == []
        assert await alice.erase() == 0
        assert list(await bob.memories()) == [kept]
        assert recalled_texts(await bob.recall(QUESTIONS[0])) == [FACTS[0]]

    async def test_an_erased_user_may_come_back(self, alice: UserMemory) -> None:
        await remember_all(alice)
        await alice.erase()

        await alice.remember(FACTS[2])

        assert await texts_of(alice) == [FACTS[2]]
        assert recalled_texts(await alice.recall(QUESTIONS[2])) == [FACTS[2]]

    async def test_what_was_not_heard_since_a_time_is_pruned_of_all_users(
        self, memory: Memory, alice: UserMemory, bob: UserMemory
    ) -> None:
        await alice.remember(FACTS[0])
        renewed = await alice.remember(FACTS[1])
        last = await bob.remember(FACTS[2])
        now = await remember_later(alice, FACTS[1], than=max(renewed.updated_at, last.updated_at))
        await bob.remember(FACTS[3])

        assert await memory.prune(before=now.updated_at) == 2

        assert await texts_of(alice) == [FACTS[1]]
        assert await texts_of(bob) == [FACTS[3]]
        assert await memory.prune(before=now.updated_at) == 0

    async def test_pruning_reaches_many_users(self, memory: Memory) -> None:
        users = [memory.for_user(f"user {number}") for number in range(30)]
        kept = [await user.remember(FACTS[0]) for user in users]
        now = await remember_later(users[7], FACTS[1], than=max(one.updated_at for one in kept))

        assert await memory.prune(before=now.updated_at) == len(users)

        assert [await texts_of(user) for user in users] == [[FACTS[1]] if n == 7 else [] for n in range(30)]

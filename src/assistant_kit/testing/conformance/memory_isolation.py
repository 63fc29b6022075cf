"""Tests of walls: what is remembered of one user is nobody else's."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, assert the language)

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.memory import Memory, UserMemory
from assistant_kit.testing.conformance.memory_workbench import (
    FACTS,
    QUESTIONS,
    MemoryWorkbench,
    recalled_texts,
    texts_of,
)

LIKE_NAMES = (
    "anna",
    "Anna",
    "anna ",
    "ann",
    "anna:",
    "anna:b",
    "anna/b",
    "ann_",
    "ann%",
    "*",
    "'\"\\",
    "änna",
    "日本" * 60,
    "ü" * 255,
    "ü" * 254 + "x",
    "x" * 1000,
    "x" * 999 + "y",
)
"""Names that have to be told apart, of any length."""


class MemoryIsolation(MemoryWorkbench):
    """A foreign memory behaves as one that does not exist."""

    async def test_users_find_their_own_memories_only(self, alice: UserMemory, bob: UserMemory) -> None:
        await alice.remember(FACTS[0])
        await bob.remember(FACTS[1])

        for question in QUESTIONS:
            assert recalled_texts(await alice.recall(question)) in ([FACTS[0]], [])
            assert recalled_texts(await bob.recall(question)) in ([FACTS[1]], [])
        assert (await texts_of(alice), await texts_of(bob)) == ([FACTS[0]], [FACTS[1]])

    async def test_the_same_text_of_two_users_is_two_memories(self, alice: UserMemory, bob: UserMemory) -> None:
        mine = await alice.remember(FACTS[0])
        theirs = await bob.remember(FACTS[0], labels={"k": 1})

        await bob.forget(theirs.id)

        assert list(await alice.memories()) == [mine]
        assert list(await bob.memories()) == []

    async def test_a_foreign_memory_is_neither_forgotten_nor_replaced(self, alice: UserMemory, bob: UserMemory) -> None:
        mine = await alice.remember(FACTS[0])

        assert not await bob.forget(mine.id)
        theirs = await bob.remember(FACTS[1], replaces=mine.id)

        assert list(await alice.memories()) == [mine]
        assert theirs.created_at >= mine.created_at
        assert list(await bob.memories()) == [theirs]

    async def test_erasing_nobody_erases_nothing_of_others(self, alice: UserMemory, bob: UserMemory) -> None:
        mine = await alice.remember(FACTS[0])

        assert await bob.erase() == 0

        assert list(await alice.memories()) == [mine]

    async def test_names_that_are_alike_are_told_apart(self, memory: Memory) -> None:
        for name in LIKE_NAMES:
            await memory.for_user(name).remember(f"This is {name[:20]} of {len(name)}.")

        for name in LIKE_NAMES:
            assert await texts_of(memory.for_user(name)) == [f"This is {name[:20]} of {len(name)}."]
        for name in LIKE_NAMES:
            assert await memory.for_user(name).erase() == 1

    async def test_no_user_is_no_user(self, memory: Memory) -> None:
        with pytest.raises(InputError):
            memory.for_user("")

"""Tests of what is recalled: what bears on the question first, where it is told to look, and no more than is wanted."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.search_index import Label, Where
from assistant_kit.testing.conformance.memory_workbench import (
    FACTS,
    QUESTIONS,
    MemoryWorkbench,
    recalled_texts,
    remember_all,
    remember_later,
)

ANY_QUESTION = [
    "\0",
    "\ud800",
    "violin \0 \ud800",
    "'; DROP TABLE memories; --",
    'violin" AND OR NOT NEAR(',
    "%_*?[]{}()\\ & | !",
    "😀",
    "violin " * 20_000,
    "x" * 200_000,
]
"""Questions that are answered somehow, and disturb nothing."""

BY_LABELS: list[tuple[dict[str, Label], set[int]]] = [
    ({"k": 1}, {0}),
    ({"k": True}, {1}),
    ({"k": "1"}, {2}),
    ({"k": 0}, set()),
    ({"K": 1}, set()),
    ({"more": "x"}, {1, 2}),
    ({"k": "1", "more": "x"}, {2}),
]
"""Filters, and the numbers of the facts that they let pass."""


class MemoryRecall(MemoryWorkbench):
    """A question finds what bears on it."""

    async def test_what_bears_on_the_question_comes_first_and_as_it_is_kept(self, alice: UserMemory) -> None:
        kept = await remember_all(alice)

        for question, expected in zip(QUESTIONS, kept, strict=True):
            found = await alice.recall(question)
            assert found[0].memory == expected, question
            scores = [one.score for one in found]
            assert scores == sorted(scores, reverse=True)
            assert len({one.memory.id for one in found}) == len(found)

    async def test_nothing_is_recalled_where_nothing_is_remembered(self, alice: UserMemory) -> None:
        assert list(await alice.recall("violin")) == []

    async def test_no_question_recalls_nothing(self, alice: UserMemory) -> None:
        await remember_all(alice)

        for query in ("", "  \n"):
            assert list(await alice.recall(query)) == []

    async def test_any_text_is_a_question(self, alice: UserMemory) -> None:
        await remember_all(alice)

        for question in ANY_QUESTION:
            assert len(await alice.recall(question, limit=3)) <= 3, question[:50]

        assert recalled_texts(await alice.recall(QUESTIONS[0], limit=1)) == [FACTS[0]]

    async def test_at_most_so_many_are_recalled(self, alice: UserMemory) -> None:
        for number in range(12):
            await alice.remember(f"Tea of sort number {number} is in box {number * 7 + 3}.")

        assert len(await alice.recall("tea")) == 8
        assert len(await alice.recall("tea", limit=3)) == 3
        assert len(await alice.recall("tea", limit=100)) == 12

    async def test_what_is_recalled_together_stays_within_the_tokens(self, alice: UserMemory) -> None:
        for number in range(6):
            await alice.remember(f"Tea of sort number {number} is in box {number * 7 + 3}.")

        counts = [len(await alice.recall("tea", max_tokens=most)) for most in (0, 20, 40, 80, 160, 100_000)]

        assert counts == sorted(counts)
        assert (counts[0], counts[-1]) == (0, 6)

    async def test_the_best_comes_first_within_the_tokens_too(self, alice: UserMemory) -> None:
        await remember_all(alice)

        for question, text in zip(QUESTIONS, FACTS, strict=True):
            assert recalled_texts(await alice.recall(question, max_tokens=1_000))[0] == text

    async def test_what_was_replaced_is_recalled_in_its_new_words_only(self, alice: UserMemory) -> None:
        old = await alice.remember(FACTS[0])
        await alice.remember(FACTS[1])

        await alice.remember(FACTS[2], replaces=old.id)

        assert recalled_texts(await alice.recall(QUESTIONS[2]))[0] == FACTS[2]
        assert FACTS[0] not in recalled_texts(await alice.recall(QUESTIONS[0]))

    async def test_only_memories_with_these_labels_are_found(self, alice: UserMemory) -> None:
        given: list[dict[str, Label]] = [{"k": 1}, {"k": True, "more": "x"}, {"k": "1", "more": "x"}, {}]
        for fact, own in zip(FACTS, given, strict=False):
            await alice.remember(fact, labels=own)

        for labels, expected in BY_LABELS:
            where = Where(labels=labels)
            texts = sorted(FACTS[number] for number in expected)
            assert sorted(one.text for one in await alice.memories(where=where)) == texts
            for number in range(4):
                found = recalled_texts(await alice.recall(QUESTIONS[number], where=where))
                assert set(found) <= set(texts)
                assert number not in expected or FACTS[number] in found

    async def test_only_memories_of_this_source_are_found(self, alice: UserMemory) -> None:
        await alice.remember(FACTS[0], source="c1/t1")
        await alice.remember(FACTS[1], source="c1/t10")

        assert [one.text for one in await alice.memories(where=Where(source="c1/t1"))] == [FACTS[0]]
        assert recalled_texts(await alice.recall(QUESTIONS[0], where=Where(source="c1/t1"))) == [FACTS[0]]
        assert recalled_texts(await alice.recall(QUESTIONS[0], where=Where(source="c1/t"))) == []

    async def test_only_memories_of_this_time_are_found(self, alice: UserMemory) -> None:
        first = await alice.remember(FACTS[0])
        second = await remember_later(alice, FACTS[1], than=first.updated_at)
        early, late = Where(until=first.updated_at), Where(since=second.updated_at)

        assert [one.text for one in await alice.memories(where=early)] == [FACTS[0]]
        assert [one.text for one in await alice.memories(where=late)] == [FACTS[1]]
        assert recalled_texts(await alice.recall(QUESTIONS[0], where=early)) == [FACTS[0]]
        assert recalled_texts(await alice.recall(QUESTIONS[1], where=late)) == [FACTS[1]]

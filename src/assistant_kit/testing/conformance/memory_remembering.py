"""Tests of what is remembered: each text once, to the letter, and changed where it is told to."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import math

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.search_index import Label
from assistant_kit.testing.conformance.memory_workbench import (
    FACTS,
    MISSING,
    MemoryWorkbench,
    all_of,
    remember_all,
    remember_later,
    texts_of,
)

ANY_TEXT = [
    "'; DROP TABLE memories; --",
    '"quoted" AND OR NOT NEAR(',
    "%_*?[]{}()\\",
    "line\nbreak\tand\r\nmore",
    "Größe, ŁÓDŹ, naïve, ﬀ",
    "我们今天去北京大学看书",
    "👩‍👩‍👧‍👦 are a family",
    "\u202eright to left\u202c",
    "\x01\x1f\x7f",
    "one " * 200 + "text",
]
"""Texts that come back to the letter, but for white space around them."""

BAD_TEXT = ["", "  \n", "nul \0", "half \ud800 a pair", "x" * 1_000_001]
"""Texts that are no memory."""

ODD_LABELS: list[dict[str, Label]] = [
    {},
    {"k": 1},
    {"k": True},
    {"k": "1"},
    {"k": 0},
    {"k": ""},
    {"K": 1},
    {"k": "'\"%"},
]
"""Labels that all differ."""


class MemoryRemembering(MemoryWorkbench):
    """What is remembered is there on return, and once."""

    async def test_what_is_remembered_is_listed_as_it_was_returned(self, alice: UserMemory) -> None:
        kept = await alice.remember(FACTS[0], source="c1/t1", labels={"topic": "music", "n": 1, "sure": True})

        assert (kept.text, kept.source, kept.labels) == (FACTS[0], "c1/t1", {"topic": "music", "n": 1, "sure": True})
        assert type(kept.labels["sure"]) is bool
        assert math.isfinite(kept.created_at)
        assert kept.created_at == kept.updated_at
        (found,) = await alice.memories()
        assert found == kept
        assert {name: type(value) for name, value in found.labels.items()} == {"topic": str, "n": int, "sure": bool}

    async def test_memories_have_ids_of_their_own(self, alice: UserMemory) -> None:
        kept = await remember_all(alice)

        assert len({one.id for one in kept}) == len(FACTS)
        assert all(one.id for one in kept)

    async def test_any_text_comes_back_to_the_letter(self, alice: UserMemory) -> None:
        kept = [await alice.remember(text, source="Ä/\n'\"", labels={"Ü ": text[:50]}) for text in ANY_TEXT]

        for text, one in zip(ANY_TEXT, kept, strict=True):
            assert (one.text.strip(), one.source, one.labels) == (text.strip(), "Ä/\n'\"", {"Ü ": text[:50]})
        assert {one.id: one for one in await alice.memories()} == {one.id: one for one in kept}

    async def test_a_text_that_cannot_be_kept_is_refused_and_changes_nothing(self, alice: UserMemory) -> None:
        kept = await alice.remember(FACTS[0])

        for text in BAD_TEXT:
            for replaced in (None, kept.id):
                with pytest.raises(InputError):
                    await alice.remember(text, replaces=replaced)

        assert list(await alice.memories()) == [kept]

    async def test_the_same_text_is_kept_once_and_renewed(self, alice: UserMemory) -> None:
        first = await alice.remember(FACTS[0])
        await alice.remember(FACTS[1])

        again = await remember_later(alice, FACTS[0], than=first.updated_at)

        assert (again.id, again.created_at) == (first.id, first.created_at)
        assert await texts_of(alice) == sorted(FACTS[:2])
        assert again in await alice.memories()

    async def test_the_same_text_with_other_labels_is_another_memory(self, alice: UserMemory) -> None:
        kept = [await alice.remember(FACTS[0], labels=labels) for labels in ODD_LABELS]

        assert len({one.id for one in kept}) == len(ODD_LABELS)
        assert await texts_of(alice) == [FACTS[0]] * len(ODD_LABELS)

    async def test_a_memory_that_replaces_another_keeps_its_id_and_when_it_was_learned(self, alice: UserMemory) -> None:
        old = await alice.remember(FACTS[0], source="c1/t1", labels={"topic": "music"})
        other = await alice.remember(FACTS[1])

        new = await alice.remember(FACTS[2], source="c2/t1", replaces=old.id)

        assert (new.id, new.text, new.source, new.created_at) == (old.id, FACTS[2], "c2/t1", old.created_at)
        assert new.labels == {"topic": "music"}
        assert new.updated_at >= old.updated_at
        assert sorted(one.id for one in await alice.memories()) == sorted([new.id, other.id])

    async def test_labels_that_are_given_take_the_place_of_the_old_ones(self, alice: UserMemory) -> None:
        old = await alice.remember(FACTS[0], labels={"topic": "music"})

        new = await alice.remember(FACTS[1], labels={"pet": True}, replaces=old.id)
        bare = await alice.remember(FACTS[2], labels={}, replaces=old.id)

        assert (new.id, new.labels) == (old.id, {"pet": True})
        assert (bare.id, bare.labels) == (old.id, {})

    async def test_replacing_a_memory_that_is_not_there_remembers_anew(self, alice: UserMemory) -> None:
        kept = [await alice.remember(FACTS[0], replaces=missing) for missing in MISSING]

        assert kept[0].id not in MISSING
        assert list(await alice.memories()) == [kept[-1]]

    async def test_a_text_that_replaces_another_and_is_known_already_is_kept_once(self, alice: UserMemory) -> None:
        first, _ = await remember_all(alice, FACTS[:2])

        moved = await alice.remember(FACTS[1], replaces=first.id)

        assert moved.id == first.id
        assert list(await alice.memories()) == [moved]

    async def test_a_text_that_was_replaced_can_be_remembered_again(self, alice: UserMemory) -> None:
        first = await alice.remember(FACTS[0])
        await alice.remember(FACTS[1], replaces=first.id)

        back = await alice.remember(FACTS[0])

        assert back.id != first.id
        assert await texts_of(alice) == sorted(FACTS[:2])

    async def test_memories_are_listed_in_pages_in_the_order_of_their_ids(self, alice: UserMemory) -> None:
        kept = await remember_all(alice)

        assert [one.id for one in await all_of(alice)] == sorted(one.id for one in kept)
        assert len(await alice.memories(limit=3)) == 3
        assert list(await alice.memories(after="\U0010ffff")) == []

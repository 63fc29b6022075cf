"""A user's memory, through a masker."""

import pytest

from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.run.masked_memory import MaskedMemory
from assistant_kit.run.masking import Masks

pytestmark = pytest.mark.anyio

BOB, EVE = "bob@example.org", "eve@example.net"


async def test_nothing_private_is_written_or_shown_and_pseudonyms_stay() -> None:
    plain = IndexMemory(MemoryIndex()).for_user("ann")
    await plain.remember(f"friend: {BOB}")
    masks = Masks(RuleMasker(MemoryVault()), "ann", given_values=(), plain=True)
    memory = MaskedMemory(plain, masks)

    (found,) = await memory.recall("friend")
    assert found.memory.text == "friend: <EMAIL_1>"
    made = await memory.remember(f"sister: {EVE}, friend: <EMAIL_1>")
    assert made.text == "sister: <EMAIL_2>, friend: <EMAIL_1>"
    assert {one.text for one in await plain.memories()} == {f"friend: {BOB}", made.text}
    assert {one.text for one in await memory.memories()} == {"friend: <EMAIL_1>", made.text}

    assert await memory.forget(made.id)
    assert await memory.erase() == 1
    assert await memory.memories() == []
    assert await memory.recall("friend") == []

"""What the tests of a memory stand on: a memory, two of its users, and short ways to look into it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import anyio
import pytest

from assistant_kit.protocols.memory import Memory, Recalled, Remembered, UserMemory

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

FACTS = (
    "Anna plays the violin on Sundays.",
    "The dog is called Bruno.",
    "Breakfast is porridge with blueberries.",
    "The passport expires in March.",
    "Her sister moved to Lisbon.",
)
"""Texts that have no telling word in common."""

QUESTIONS = ("violin", "Bruno the dog", "porridge with blueberries", "passport", "a sister who moved to Lisbon")
"""A question to each of these facts, in words of the fact: what finds words, and what finds meanings, finds it."""

MISSING = ("nobody", "x" * 300, "nul \0", "\ud800")
"""Ids of no memory."""


class MemoryWorkbench(ABC):
    """Opens the memory under test. The hook is `open_memory`."""

    durable: ClassVar[bool] = True
    """Whether a place outlives the object that opened it: False for a memory in the process."""

    serves_event_loops: ClassVar[bool] = True
    """Whether one object serves several event loops."""

    @abstractmethod
    async def open_memory(self, folder: Path) -> Memory:
        """Return a memory that nobody has opened yet, for the place of this folder.

        `folder` is the test's own, and empty at first. It is asked again with the same folder for another object on
        the same place. For a server, name a table or a collection by `place_name(folder)`.
        """

    async def remove_place(self, folder: Path) -> None:  # noqa: B027  (few have anything to remove)
        """Remove what `open_memory` has made outside of the folder, after the test; all objects are closed then."""

    @pytest.fixture
    async def memory(self, tmp_path: Path) -> AsyncIterator[Memory]:
        """Return a memory, and close it after the test."""
        with anyio.fail_after(PATIENCE):
            memory = await self.open_memory(tmp_path)
        try:
            yield memory
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await memory.aclose()
                await self.remove_place(tmp_path)

    @asynccontextmanager
    async def again(self, memory: Memory, folder: Path) -> AsyncGenerator[Memory]:
        """Return another object on the place of `memory`; the same one, where no place outlives its object."""
        if not self.durable:
            yield memory
            return
        other = await self.open_memory(folder)
        try:
            yield other
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await other.aclose()

    @pytest.fixture
    def alice(self, memory: Memory) -> UserMemory:
        """Return the handle of a user of whom nothing is remembered yet."""
        return memory.for_user(f"alice-{uuid4()}")

    @pytest.fixture
    def bob(self, memory: Memory) -> UserMemory:
        """Return the handle of another user of whom nothing is remembered yet."""
        return memory.for_user(f"bob-{uuid4()}")


async def remember_all(user: UserMemory, texts: Sequence[str] = FACTS) -> list[Remembered]:
    """Remember texts, one after another."""
    return [await user.remember(text) for text in texts]


async def remember_later(user: UserMemory, text: str, *, than: float) -> Remembered:
    """Remember a text until its time is behind `than`; a clock may stand still between two looks at it."""
    with anyio.fail_after(PATIENCE):
        while (found := await user.remember(text)).updated_at <= than:
            await anyio.lowlevel.checkpoint()
    return found


async def all_of(user: UserMemory) -> list[Remembered]:
    """Return all memories of a user, page by page."""
    found: list[Remembered] = []
    while page := await user.memories(limit=2, after=found[-1].id if found else ""):
        assert not found or page[0].id > found[-1].id, "a page goes on behind the last one"  # noqa: S101  (of a test)
        found += page
    return found


async def texts_of(user: UserMemory) -> list[str]:
    """Return the texts of all memories of a user, sorted."""
    return sorted(one.text for one in await user.memories(limit=1000))


def recalled_texts(found: Sequence[Recalled]) -> list[str]:
    """Return the texts of what was recalled."""
    return [one.memory.text for one in found]

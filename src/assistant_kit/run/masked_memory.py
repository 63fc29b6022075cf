"""What is remembered of a user, where private data is masked: nothing else is written to it, and shown of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from assistant_kit.protocols.memory import Recalled, Remembered, UserMemory
from assistant_kit.protocols.search_index import Label, Where
from assistant_kit.run.masking import Masks


class MaskedMemory:
    """A user's memory. What a model has written is masked, and so are memories that others have put there as it is.

    Pseudonyms stay: they stand for values. It raises what the memory does, and StoreError.
    """

    def __init__(self, memory: UserMemory, masks: Masks) -> None:
        """Take the memory, and what masks texts of the user."""
        self._memory = memory
        self._masks = masks

    async def remember(
        self, text: str, *, source: str = "", labels: Mapping[str, Label] | None = None, replaces: str | None = None
    ) -> Remembered:
        """Remember a text, masked."""
        (masked,) = await self._masks.from_model([text])
        return await self._memory.remember(masked, source=source, labels=labels, replaces=replaces)

    async def recall(
        self, query: str, *, limit: int = 8, max_tokens: int | None = None, where: Where | None = None
    ) -> Sequence[Recalled]:
        """Return memories, masked."""
        found = await self._memory.recall(query, limit=limit, max_tokens=max_tokens, where=where)
        masked = await self._masked([one.memory for one in found])
        return [replace(one, memory=memory) for one, memory in zip(found, masked, strict=True)]

    async def memories(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Remembered]:
        """Return memories, masked."""
        return await self._masked(await self._memory.memories(limit=limit, after=after, where=where))

    async def forget(self, memory: str) -> bool:
        """Forget a memory."""
        return await self._memory.forget(memory)

    async def erase(self) -> int:
        """Forget everything."""
        return await self._memory.erase()

    async def _masked(self, memories: Sequence[Remembered]) -> Sequence[Remembered]:
        texts = await self._masks.from_model([memory.text for memory in memories])
        return [replace(memory, text=text) for memory, text in zip(memories, texts, strict=True)]

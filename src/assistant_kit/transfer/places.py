"""All places where data of users is kept: gathered once, so that erasing and exporting reach the same ones."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Final, TypeVar

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.memory import Memory, Remembered, UserMemory
from assistant_kit.protocols.store import Store
from assistant_kit.protocols.user_data import Erasing, Exporting, Keeper, Kept, Nesting, Places

T = TypeVar("T")

_PAGE: Final = 100
"""Memories read at once."""


def gathered(
    store: Store | None,
    memory: Memory | None,
    parts: Iterable[object],
    *,
    erased: Callable[[str], Awaitable[None]],
) -> Places:
    """Return the places of an assistant: its store, its memory, and those of its `parts` that keep data of users.

    Parts are toolsets and policies; the places of a nested assistant are among them. Raises ConfigurationError for a
    part that erases a user and does not export one, or the other way round.
    """
    stores, memories = [] if store is None else [store], [] if memory is None else [memory]
    keepers, hooks = list[Keeper](), [erased]
    for part in parts:
        if isinstance(part, Keeper):
            keepers.append(part)
        elif isinstance(part, Erasing | Exporting):
            raise ConfigurationError(
                f"{type(part).__name__} has only one of erase_user and export_user: what keeps data of users needs "
                "both, so that nothing is erased which could not be exported, and nothing stays"
            )
        if isinstance(part, Nesting):
            stores += part.nested_places.stores
            memories += part.nested_places.memories
            keepers += part.nested_places.keepers
            hooks += part.nested_places.erased
    return Places(
        stores=tuple(_each_once(stores)),
        memories=tuple(_each_once(memories)),
        keepers=tuple(_each_once(keepers)),
        erased=tuple(hooks),
    )


def _each_once(found: Iterable[T]) -> Iterable[T]:
    return {id(one): one for one in found}.values()


async def erase(places: Places, user: str) -> int:
    """Erase a user in all places, and return the number of conversations. Raises StoreError; may be repeated then."""
    number = sum([await store.for_user(user).erase() for store in places.stores])
    # What is being learned just now finds no conversation to note it in, but may have remembered something.
    for told in places.erased:
        await told(user)
    for memory in places.memories:
        await memory.for_user(user).erase()
    for keeper in places.keepers:
        await keeper.erase_user(user)
    return number


async def all_kept(places: Places, user: str) -> AsyncGenerator[Kept, None]:
    """Return what is kept of a user beside the stores; a memory that is reached in two ways comes once."""
    seen: set[str] = set()
    for memory in places.memories:
        async with aclosing(all_memories(memory.for_user(user))) as found:
            async for remembered in found:
                seen.add(remembered.id)
                yield remembered
    for keeper in places.keepers:
        async for kept in keeper.export_user(user):
            if not isinstance(kept, Remembered):
                yield kept
            elif kept.id not in seen:
                seen.add(kept.id)
                yield kept


async def all_memories(memory: UserMemory) -> AsyncGenerator[Remembered, None]:
    """Return all memories of a user."""
    page = await memory.memories(limit=_PAGE)
    while page:
        for remembered in page:
            yield remembered
        page = await memory.memories(limit=_PAGE, after=page[-1].id)

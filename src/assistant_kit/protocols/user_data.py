"""The contract of what keeps data of users beside stores and memories: quotas, toolsets, anything an application adds.

Who erases a user has to export the user as well, and the other way round: `Keeper` is both. An assistant refuses a
policy or a toolset that does one of them alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from assistant_kit.messages import JsonObject
from assistant_kit.protocols.memory import Memory, Remembered
from assistant_kit.protocols.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """One thing that is kept of a user: `place` says by whom, `name` what it is there, and `data` what it says."""

    place: str
    name: str
    data: JsonObject


Kept: TypeAlias = UserData | Remembered
"""What a keeper exports: a memory as what it is, so that it can be imported, and anything else as `UserData`."""


@runtime_checkable
class Erasing(Protocol):
    """What erases what it keeps of a user."""

    async def erase_user(self, user: str) -> None:
        """Erase all that is kept of a user. Raises StoreError; may be repeated then."""
        ...


@runtime_checkable
class Exporting(Protocol):
    """What exports what it keeps of a user."""

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return all that `erase_user` would erase. Raises StoreError."""
        ...


@runtime_checkable
class Keeper(Erasing, Exporting, Protocol):
    """What keeps data of users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """All places where an assistant keeps data of users, those of nested assistants too.

    `erased` are told when the journals of a user are gone, so that they forget what they know of them by heart.
    """

    stores: tuple[Store, ...] = ()
    memories: tuple[Memory, ...] = ()
    keepers: tuple[Keeper, ...] = ()
    erased: tuple[Callable[[str], Awaitable[None]], ...] = ()


@runtime_checkable
class Nesting(Protocol):
    """A toolset behind which another assistant stands."""

    @property
    def nested_places(self) -> Places:
        """The places of that assistant."""
        ...

"""A vault that fails when it is told to."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import anyio

from assistant_kit.errors import StoreUnavailable
from assistant_kit.maskers.memory_vault import MemoryVault, UserMemoryVault
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.user_data import Kept


class FailingVault:
    """A vault in memory. While `fails`, nothing is hidden or revealed; values in `fails_for` are never hidden.

    With a `gate`, who hides a value waits until it is open; `asked` tells that somebody does.
    """

    def __init__(self, *, fails_for: Collection[str] = ()) -> None:
        self.fails = False
        self.fails_for = fails_for
        self.gate: anyio.Event | None = None
        self.asked = anyio.Event()
        self._vault = MemoryVault()

    def for_user(self, user: str) -> "_UserVault":
        return _UserVault(self, self._vault.for_user(user))

    async def erase_user(self, user: str) -> None:
        await self._vault.erase_user(user)

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        return self._vault.export_user(user)

    async def aclose(self) -> None:
        await self._vault.aclose()


class _UserVault:
    def __init__(self, vault: FailingVault, own: UserMemoryVault) -> None:
        self._vault = vault
        self._own = own

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        if self._vault.gate is not None:
            self._vault.asked.set()
            await self._vault.gate.wait()
        if self._vault.fails or any(each.value in self._vault.fails_for for each in values):
            raise StoreUnavailable("the vault does not answer")
        return await self._own.hide(values)

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        if self._vault.fails:
            raise StoreUnavailable("the vault does not answer")
        return await self._own.reveal(pseudonyms)

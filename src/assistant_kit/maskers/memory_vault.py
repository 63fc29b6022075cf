"""Pseudonyms in this process: for tests, and for texts that are restored before it ends."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from threading import Lock

from assistant_kit.maskers._ledger import Ledger, check_user
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.user_data import Kept


class MemoryVault:
    """Pseudonyms in dictionaries; event loops and threads may share one. They end with the object."""

    def __init__(self) -> None:
        self._ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
        self._lock = Lock()

    def for_user(self, user: str) -> "UserMemoryVault":
        """Return the handle for `user`. Raises InputError."""
        check_user(user)
        return UserMemoryVault(self, user)

    def hide(self, user: str, values: Sequence[Private]) -> Sequence[str]:
        """Return a pseudonym of a user for each value."""
        with self._lock:
            ledger = self._ledgers[user]
            ledger.add(ledger.unknown(values))
            return ledger.names(values)

    def reveal(self, user: str, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the values that pseudonyms of a user stand for."""
        with self._lock:
            return self._ledgers[user].revealed(pseudonyms) if user in self._ledgers else {}

    async def erase_user(self, user: str) -> None:
        """Forget the values of a user."""
        with self._lock:
            self._ledgers.pop(user, None)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return the pseudonyms of a user with their values."""
        with self._lock:
            kept = list(self._ledgers[user].exported()) if user in self._ledgers else []
        for each in kept:
            yield each

    async def aclose(self) -> None:
        """Do nothing: there is nothing to free."""


class UserMemoryVault:
    """The pseudonyms of one user."""

    __slots__ = ("_user", "_vault")

    def __init__(self, vault: MemoryVault, user: str) -> None:
        self._vault = vault
        self._user = user

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        """Return a pseudonym for each value."""
        return self._vault.hide(self._user, values)

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the values that these pseudonyms stand for."""
        return self._vault.reveal(self._user, pseudonyms)

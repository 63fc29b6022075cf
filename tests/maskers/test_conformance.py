"""Our masker and our vaults pass their suites."""

import os
from pathlib import Path

import pytest

from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.protocols.masker import Masker, Vault
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.conformance.masker import MaskerConformance
from assistant_kit.testing.conformance.masker_vault import VaultConformance

KEYS = MasterKeys({"m1": os.urandom(32)})


# --8<-- [start:masker]
@pytest.mark.anyio
class TestRuleMasker(MaskerConformance):
    private = ("ann@example.org", "+47 22 12 34 56")

    async def open_masker(self, folder: Path) -> Masker:  # noqa: ARG002  (it keeps no file)
        return RuleMasker(MemoryVault())


# --8<-- [end:masker]


class OneLoop:
    """The thread of the store does the work: one event loop is enough."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


@pytest.mark.anyio
class TestRuleMaskerOnAStore(OneLoop, MaskerConformance):
    async def open_masker(self, folder: Path) -> Masker:
        return RuleMasker(StoreVault(SQLiteStore(folder / "vault.db")))


@pytest.mark.anyio
class TestMemoryVault(VaultConformance):
    durable = False

    async def open_vault(self, folder: Path) -> Vault:  # noqa: ARG002  (memory has no place)
        return MemoryVault()


# --8<-- [start:vault]
@pytest.mark.anyio
class TestStoreVault(VaultConformance):
    async def open_vault(self, folder: Path) -> Vault:
        return StoreVault(SQLiteStore(folder / "vault.db"))


# --8<-- [end:vault]


class TestEncryptedVault(OneLoop, TestStoreVault):
    async def open_vault(self, folder: Path) -> Vault:
        return StoreVault(EncryptedStore(SQLiteStore(folder / "vault.db"), KEYS))


class OfOneLoop(TestRuleMasker):
    """A masker whose object belongs to one event loop."""

    __test__ = False
    serves_event_loops = False


class VaultOfOneLoop(TestMemoryVault):
    """A vault whose object belongs to one event loop."""

    __test__ = False
    serves_event_loops = False


@pytest.mark.anyio
async def test_a_masker_or_a_vault_of_one_event_loop_is_not_asked_from_several() -> None:
    vault = MemoryVault()
    with pytest.raises(pytest.skip.Exception):
        await OfOneLoop().test_several_event_loops_share_a_masker(RuleMasker(vault).for_user("ann"), "asyncio")
    with pytest.raises(pytest.skip.Exception):
        await VaultOfOneLoop().test_several_event_loops_share_a_vault(vault, "asyncio")

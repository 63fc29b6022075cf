"""The suite that every store passes."""

from assistant_kit.testing.conformance.store_concurrency import StoreConcurrency
from assistant_kit.testing.conformance.store_isolation import StoreIsolation
from assistant_kit.testing.conformance.store_leases import StoreLeases
from assistant_kit.testing.conformance.store_reads import StoreReads
from assistant_kit.testing.conformance.store_writes import StoreWrites


class StoreConformance(StoreWrites, StoreReads, StoreLeases, StoreIsolation, StoreConcurrency):
    """What `protocols/store.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyStore(StoreConformance):
            async def open_store(self, folder: Path) -> Store:
                return MyStore(folder / "journals.my")

    A store whose clock can be set is tested faster, and more sharply:

        @pytest.mark.anyio
        class TestMyStore(StoreConformance):
            now = 1_000_000.0

            async def open_store(self, folder: Path) -> Store:
                return MyStore(folder / "journals.my", clock=lambda: self.now)

            async def advance(self, seconds: float) -> None:
                self.now += seconds

    Each test opens a store and works under users with names of their own, so that the place may hold other data.
    """

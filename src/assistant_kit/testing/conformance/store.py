"""The suite that every store passes."""

from assistant_kit.testing.conformance.store_audit import AuditConformance
from assistant_kit.testing.conformance.store_concurrency import StoreConcurrency
from assistant_kit.testing.conformance.store_contention import StoreContention
from assistant_kit.testing.conformance.store_erasure import StoreErasure
from assistant_kit.testing.conformance.store_forks import StoreForks
from assistant_kit.testing.conformance.store_isolation import StoreIsolation
from assistant_kit.testing.conformance.store_leases import StoreLeases
from assistant_kit.testing.conformance.store_listing import StoreListing
from assistant_kit.testing.conformance.store_reads import StoreReads
from assistant_kit.testing.conformance.store_rewinds import StoreRewinds
from assistant_kit.testing.conformance.store_transactions import TransactionConformance
from assistant_kit.testing.conformance.store_writes import StoreWrites

__all__ = ["AuditConformance", "StoreConformance", "TransactionConformance"]


class StoreConformance(
    StoreWrites,
    StoreReads,
    StoreLeases,
    StoreForks,
    StoreRewinds,
    StoreListing,
    StoreIsolation,
    StoreErasure,
    StoreConcurrency,
    StoreContention,
):
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

    A store with transactions derives from `TransactionConformance` too, one with an audit log from
    `AuditConformance`. Each test opens a store and works under users with names of their own, so that the place may
    hold other data.
    """

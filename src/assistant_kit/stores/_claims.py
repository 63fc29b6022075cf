"""What a store around another one does behind a claim, before the lease is anybody's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from anyio import CancelScope

from assistant_kit.errors import StoreError
from assistant_kit.protocols.store import Lease, UserStore


@asynccontextmanager
async def given_back_on_failure(store: UserStore, lease: Lease) -> AsyncGenerator[None]:
    """Do what belongs to a claim; if it fails, give the lease back. Cancellation waits for that.

    A claim that fails or is cancelled leaves no lease behind, which nobody would know of.
    """
    with CancelScope(shield=True):
        try:
            yield
        except BaseException:
            with suppress(StoreError):  # it ends by itself
                await store.release(lease)
            raise

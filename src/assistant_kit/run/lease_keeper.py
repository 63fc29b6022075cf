"""Keeps the leases of running turns alive: one task for all of them."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from assistant_kit.errors import LeaseLost
from assistant_kit.protocols.store import Lease, UserStore

_log = logging.getLogger("assistant_kit.run")


@dataclass(slots=True, eq=False)
class Kept:
    """A lease in use. `scope` is cancelled when it is lost, and `lost` tells so."""

    store: UserStore
    lease: Lease
    due: float
    scope: anyio.CancelScope
    lost: LeaseLost | None = None
    ended: bool = False


class LeaseKeeper:
    """Renews leases at a third of their life, for as long as its `run` runs. Times are in seconds."""

    def __init__(self, ttl: float) -> None:
        """Keep leases that were taken for `ttl`."""
        self._ttl = ttl
        self._kept: dict[Kept, None] = {}
        self._wanted: anyio.Event | None = None

    @contextmanager
    def keeping(self, store: UserStore, lease: Lease) -> Generator[Kept]:
        """Keep a lease while the body runs; the body is cancelled when the lease is lost."""
        with anyio.CancelScope() as scope:
            kept = Kept(store, lease, anyio.current_time() + self._ttl / 3, scope)
            self._kept[kept] = None
            if self._wanted is not None:
                self._wanted.set()
            try:
                yield kept
            finally:
                kept.ended = True
                self._kept.pop(kept, None)

    async def run(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            if not self._kept:
                self._wanted = anyio.Event()
                await self._wanted.wait()
                self._wanted = None
            # All leases last equally long, so the first one is due first.
            first = next(iter(self._kept), None)
            if first is not None:
                await anyio.sleep_until(first.due)
                await self._renew_due(anyio.current_time())

    async def _renew_due(self, now: float) -> None:
        due = [kept for kept in self._kept if kept.due <= now]
        for kept in due:
            del self._kept[kept]
        async with anyio.create_task_group() as group:
            for kept in due:
                group.start_soon(self._renew, kept)
        for kept in due:
            if not kept.ended and kept.lost is None:
                kept.due = now + self._ttl / 3
                self._kept[kept] = None

    async def _renew(self, kept: Kept) -> None:
        try:
            # A store that hangs must not cost others their leases: the next round comes while they still last.
            with anyio.move_on_after(self._ttl / 3) as patience:
                await kept.store.renew(kept.lease, ttl=self._ttl)
            if patience.cancelled_caught:
                _log.warning("the lease on %r is not renewed: its store does not answer", kept.lease.conversation)
        except LeaseLost as error:
            kept.lost = error
            kept.scope.cancel()
        except Exception as error:  # noqa: BLE001  (one store's failure must not end the keeping of other leases)
            _log.warning("the lease on %r is not renewed: %s", kept.lease.conversation, error)

"""The right to write to a conversation for the length of one write, and what is done when a store does not answer."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import anyio

from assistant_kit.errors import StoreBusy, StoreError, StoreUnavailable
from assistant_kit.protocols.store import Lease, UserStore
from assistant_kit.settings import LeaseSettings
from assistant_kit.when_free import when_free

T = TypeVar("T")

_TRIES: Final = 3
_CLEANUP: Final = 5.0  # seconds


async def insisting(operation: Callable[[], Awaitable[T]]) -> T:
    """Do what may be done twice until the store acknowledges it, up to three times. Raises what the last one raised."""
    done: list[T] = []
    with anyio.CancelScope(shield=True):  # short, and not to be left half-way
        for _ in range(_TRIES - 1):
            with suppress(StoreUnavailable, StoreBusy):
                done.append(await operation())
                break
        else:
            done.append(await operation())
    return done[0]


async def patiently(operation: Callable[[], Awaitable[T]], settings: LeaseSettings) -> T:
    """Try until the conversation is free, or for as long as `settings` say. Raises ConversationBusy."""
    return await when_free(operation, on_busy=settings.on_busy, wait=settings.wait)


async def leased(
    store: UserStore, conversation: str, settings: LeaseSettings, work: Callable[[Lease], Awaitable[bool]]
) -> None:
    """Do work under a lease; it tells whether it gave the lease up. Raises ConversationBusy."""
    owner = os.urandom(12).hex()  # the same may claim again, so a claim may be repeated

    async def claim() -> Lease:
        return await store.claim(conversation, owner=owner, ttl=settings.ttl)

    lease = await patiently(lambda: insisting(claim), settings)
    released = False
    try:
        released = await work(lease)
    finally:
        if not released:
            with anyio.move_on_after(_CLEANUP, shield=True), suppress(StoreError):
                await store.release(lease)  # else it ends by itself

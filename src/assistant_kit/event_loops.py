"""How a thread reaches into an event loop, of asyncio or of trio, without waiting for it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast


class _AsyncioLoop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object: ...


class _TrioToken(Protocol):
    def run_sync_soon(self, callback: Callable[[], object], /) -> object: ...


def call_soon(token: object, callback: Callable[[], object]) -> None:
    """Let an event loop call a function soon; nothing happens when the loop has ended.

    `token` is what anyio calls a native token: an asyncio loop, or a trio token. `anyio.from_thread.run_sync` would
    wait for the result, which costs a switch of threads.
    """
    with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
        if hasattr(token, "call_soon_threadsafe"):
            cast("_AsyncioLoop", token).call_soon_threadsafe(callback)
        else:
            cast("_TrioToken", token).run_sync_soon(callback)

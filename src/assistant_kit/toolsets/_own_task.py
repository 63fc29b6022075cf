"""A task that no task group owns, so that whoever started it may be left in any task, and in any order."""

import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, cast

import anyio
from anyio.lowlevel import current_token

_log = logging.getLogger("assistant_kit.tools")


class _AsyncioLoop(Protocol):
    def create_task(self, coroutine: Coroutine[Any, Any, None], /, *, context: Context) -> object: ...


class _TrioLowLevel(Protocol):
    def spawn_system_task(self, function: Callable[[], Awaitable[None]], /, *, context: Context) -> object: ...


class OwnTask:
    """Runs a function in a task of its own, until it returns, is cancelled, or the event loop ends.

    An anyio task group is left in the task that entered it, and a person who closes a connection is seldom there. So
    this is a task of the event loop itself: of asyncio, or a system task of trio. An exception of the function is
    logged and goes no further. `context` holds the context variables that it sees.
    """

    def __init__(self, function: Callable[[], Awaitable[object]], *, context: Context) -> None:
        """Start. Call it in an event loop."""
        self.ended: anyio.Event = anyio.Event()
        self._function = function
        self._scope = anyio.CancelScope()
        token = current_token().native_token
        if hasattr(token, "create_task"):
            # It is kept: asyncio itself holds only weakly what it runs.
            self._task = cast("_AsyncioLoop", token).create_task(self._run(), context=context)
        else:  # trio is what runs here, so it is loaded
            low = cast("_TrioLowLevel", sys.modules["trio"].lowlevel)
            self._task = low.spawn_system_task(self._run, context=context)

    def cancel(self) -> None:
        """Ask for the end."""
        self._scope.cancel()

    async def stop(self) -> None:
        """Ask for the end, and wait for it even when the caller is cancelled: what runs must be bounded then."""
        self.cancel()
        with anyio.CancelScope(shield=True):
            await self.ended.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._function()
        except Exception:  # noqa: BLE001  (nobody waits for it; on trio it would end the application)
            _log.exception("a task of a toolset has failed")
        finally:
            self.ended.set()

"""What synchronous tools return after their call was given up: their threads cannot be stopped, so they are awaited."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from assistant_kit.entries import ToolFinished
from assistant_kit.errors import AssistantKitError

_log = logging.getLogger("assistant_kit.tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """The end of a call that was reported as unknown meanwhile."""

    user: str
    conversation: str
    end: ToolFinished


class LateResults:
    """Takes late results from any thread and records them, one after the other, while its `run` runs."""

    def __init__(self, record: Callable[[Late], Awaitable[None]]) -> None:
        self._record = record
        self._waiting: deque[Late] = deque()
        self._wanted = anyio.Event()

    def take(self, late: Late) -> None:
        """Take a result, in the event loop."""
        self._waiting.append(late)
        self._wanted.set()

    async def run(self) -> None:
        """Record what comes, until cancelled."""
        while True:
            while self._waiting:
                await self._keep(self._waiting.popleft())
            self._wanted = anyio.Event()
            await self._wanted.wait()

    async def _keep(self, late: Late) -> None:
        try:
            await self._record(late)
        except AssistantKitError as error:
            _log.warning("the late result of %s is not recorded (call %s): %s", late.end.tool, late.end.call_id, error)

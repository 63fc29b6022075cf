"""Waiting for a conversation that somebody else holds."""

import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import anyio

from assistant_kit.errors import ConversationBusy
from assistant_kit.settings import OnBusy

T = TypeVar("T")

_FIRST, _LONGEST = 0.02, 0.5  # seconds between two attempts


async def when_free(operation: Callable[[], Awaitable[T]], *, on_busy: OnBusy, wait: float, until: float = inf) -> T:
    """Try until the conversation is free: `wait` seconds, or as `on_busy` says, and not beyond `until`.

    Raises ConversationBusy, and what `operation` raises.
    """
    patience = {"wait": wait, "fail": 0.0, "queue": inf}[on_busy]
    give_up: float | None = None
    delay = _FIRST
    while True:
        try:
            return await operation()
        except ConversationBusy as busy:
            now = anyio.current_time()
            if give_up is None:
                give_up = min(now + patience, until)
            if now >= give_up:
                raise
            pause = min(delay, max(busy.retry_after, 0.001), give_up - now)
        await anyio.sleep(pause * random.uniform(0.1, 1.0))  # noqa: S311  (all at once, all but one come in vain)
        delay = min(2 * delay, _LONGEST)

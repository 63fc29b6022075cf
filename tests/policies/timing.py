"""Virtual time on both event loops, for tests of policies."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import trio.testing

from assistant_kit.testing.simulation.virtual_loop import VirtualLoop

T = TypeVar("T")
LOOPS = ("asyncio", "trio")


def in_virtual_time(loop: str, function: Callable[[], Awaitable[T]], *, seed: int = 1) -> T:
    """Run an async function where waiting costs nothing. On asyncio `seed` decides who comes first."""
    if loop == "trio":
        options: dict[str, Any] = {"clock": trio.testing.MockClock(autojump_threshold=0)}
    else:
        options = {"loop_factory": lambda: VirtualLoop(seed)}
    return anyio.run(function, backend=loop, backend_options=options)

"""What the runner measures: the interface of a peer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from benchmarks.workload import Outcome, Wire


class Peer(Protocol):
    """One way to write an assistant, on one wire format, with one shared client."""

    async def turn(self) -> Outcome:
        """One new turn: 4 requests that are not streamed, 6 tool calls; text and number of calls."""
        ...

    async def token(self) -> Outcome:
        """One streamed request of 2,000 tokens; the text, and how many deltas arrived."""
        ...


OpenPeer: TypeAlias = Callable[[str, Wire], AbstractAsyncContextManager[Peer]]
"""Opens a peer for a base URL and a wire format.

`benchmarks/kit.py` offers `open_kit(base_url: str, wire: Wire, *, store: str)`, with `store` a URL: `memory:` or
`sqlite:///<path>`; it returns such a context manager.
"""

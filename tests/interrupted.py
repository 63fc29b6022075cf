"""Turns that a worker has left in the middle, and the clock by which its lease ends."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Store, TurnState, Unfinished
from assistant_kit.settings import Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import ScriptedModel, Step
from tests.faulty_store import FaultyStore


class World:
    """A store that several workers share, whose clock a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = MemoryStore(clock=lambda: self.now)
        self.models: list[ScriptedModel] = []

    def assistant(
        self,
        *steps: Step,
        tools: Sequence[Callable[..., Any]] = (),
        settings: Settings | None = None,
        store: Store | None = None,
    ) -> Assistant[str]:
        """A worker whose model plays these steps."""
        self.models.append(ScriptedModel(steps))
        return Assistant(self.models[-1], tools=tools, store=store or self.store, settings=settings)

    async def dies(
        self,
        *steps: Step,
        tools: Sequence[Callable[..., Any]] = (),
        fail_at: int = 2,
        conversation: str = "c",
        settings: Settings | None = None,
    ) -> None:
        """Run a turn whose worker loses its store before write `fail_at`; then its lease ends."""
        lost = FaultyStore(self.store, fail_at=fail_at)
        worker = self.assistant(*steps, tools=tools, store=lost, settings=settings)
        with pytest.raises(StoreUnavailable):
            await worker.run("x", user="u", conversation=conversation, request_id="r")
        self.now += 31


class ListingStore(FaultyStore):
    """Fails to list unfinished turns so many times, or lists those that were `found` earlier."""

    def __init__(self, store: Store, *, failures: int = 0, found: Sequence[Unfinished] | None = None) -> None:
        super().__init__(store)
        self.failures = failures
        self.found = found

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the connection is gone")
        return self.found if self.found is not None else await super().unfinished(state=state, limit=limit)

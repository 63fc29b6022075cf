"""A trial tells a worker that dies from one that lives, and finds what is lost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Append, Store
from tests.crash_sweep.life import DiedInside, Life
from tests.crash_sweep.scenarios import SCENARIOS
from tests.crash_sweep.trial import Setting, trial

pytestmark = pytest.mark.anyio

(ONE_TOOL,) = [scenario for scenario in SCENARIOS if scenario.name == "one tool"]


def acknowledging_too_early(store: Store) -> Store:
    return cast("Store", AcknowledgesTooEarly(store))


class AcknowledgesTooEarly:
    """Tells of a write that it took place, and makes it before the next one: the last one dies with the worker."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._told: list[Append] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def for_user(self, user: str) -> Any:
        return AcknowledgesTooEarly(self._store.for_user(user))

    async def append(self, write: Append) -> None:
        await self._make()
        self._told = [write]
        if write.release:  # nothing follows
            await self._make()

    async def release(self, lease: Any) -> None:
        await self._make()
        await self._store.release(lease)

    async def _make(self) -> None:
        for write in self._told:
            await self._store.append(write)
        self._told = []


async def deaths_and_blames(
    folder: Path, setting: Setting, through: Callable[[Store], Store]
) -> tuple[Sequence[str], set[str]]:
    """Die at every point, and return where, and what was wrong."""
    deaths: list[str] = []
    blames: set[str] = set()
    while True:
        done = await trial(ONE_TOOL, setting, folder, len(deaths), through=through)
        blames |= {violation.blame for violation in done.verdict.violations}
        if not done.ends:
            return deaths, blames
        deaths += done.ends


async def test_a_worker_dies_before_and_after_each_write_each_model_call_and_each_tool_call(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        deaths, blames = await deaths_and_blames(tmp_path, Setting(), lambda store: store)

    assert blames == set()
    assert deaths == [
        f"{when} {what}"
        for what in (
            "claim",
            "the model",
            "append model_responded+tool_started",
            "pay",
            "append tool_finished",
            "the model",
            "append model_responded+turn_finished",
        )
        for when in ("before", "after")
    ]


async def test_a_store_that_acknowledges_before_it_writes_is_found_out(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        _, blames = await deaths_and_blames(tmp_path, Setting(recovery="recover"), acknowledging_too_early)

    assert "doubled" in blames


async def test_what_a_dead_worker_does_waits_until_it_is_buried_and_then_fails() -> None:
    life = Life(ends_at=1)
    went_on: list[str] = []

    async def live() -> None:
        await life.point("before")
        went_on.append("before")
        with pytest.raises(StoreUnavailable):
            await life.point("after")
        with pytest.raises(StoreUnavailable):
            await life.point("later")
        with pytest.raises(DiedInside):
            life.point_inside("in a transaction")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(live)
            await life.over.wait()
            assert (life.dead, life.points, went_on) == (True, ["before", "after"], ["before"])
            life.bury()

    assert life.points == ["before", "after"]

"""What the tests of shared state stand on: a place, an owner who has nothing yet, and a few changes to make."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import anyio
import pytest

from assistant_kit.protocols.shared_state import Change, Changed, SharedState

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

BAD_NAMES = ["x" * 1001, "a\0b", "\ud800"]
"""Names that some place cannot hold."""

ODD_NAMES = [
    "a:b",
    "a:",
    ":b",
    "{x}",
    "}{",
    "%7B",
    "*",
    "a b\n\t",
    "\x01\x1f\x7f",
    "Größe",
    "日本",
    "💧",
    "'\"\\",
    "ﬀ" * 1000,
]
"""Names that every place holds, and tells from each other."""


class SharedStateWorkbench(ABC):
    """Opens the place under test. The hook is `open_state`."""

    durable: ClassVar[bool] = True
    """Whether a place outlives the object that opened it: False for one in the memory of the process."""

    @abstractmethod
    async def open_state(self, folder: Path) -> SharedState:
        """Return an object for the place of this folder.

        `folder` is the test's own, and empty at first. It is asked again with the same folder for another object on
        the same place. For a server, take a name from `place_name(folder)`.
        """

    async def remove_place(self, folder: Path) -> None:  # noqa: B027  (few have anything to remove)
        """Remove what `open_state` has made outside of the folder, after the test; all objects are closed then."""

    def elsewhere(self, folder: Path) -> str | None:  # noqa: ARG002  (it is the hook's)
        """Return a program that makes `state`, an object for the place of this folder; None if no process can."""
        return None

    @pytest.fixture
    async def states(self, tmp_path: Path) -> AsyncIterator[list[SharedState]]:
        """Return four objects for one place, and close them after the test; the same one where none outlives it."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.remove_place, tmp_path)
            states = [await self.open_state(tmp_path) for _ in range(4 if self.durable else 1)]
            for state in states:
                stack.push_async_callback(_close, state)
            yield states if self.durable else states * 4

    @pytest.fixture
    def state(self, states: list[SharedState]) -> SharedState:
        """Return the first of the objects."""
        return states[0]

    @pytest.fixture
    def owner(self) -> str:
        """Return an owner who has nothing yet."""
        return f"owner-{uuid4()}"


async def _close(state: SharedState) -> None:
    with anyio.fail_after(PATIENCE, shield=True):
        await state.aclose()


def increment(value: bytes | None, now: float) -> Changed[int]:  # noqa: ARG001  (a change gets both)
    """Count; the result is the new number."""
    count = int(value or b"0") + 1
    return Changed(value=b"%d" % count, result=count)


def look(value: bytes | None, now: float) -> Changed[tuple[bytes | None, float]]:
    """Leave the value as it is; the result is what a change is given."""
    return Changed(value=value, result=(value, now))


def put(new: bytes | None, *, keep: float = 60.0) -> Change[float]:
    """Return a change to this value; its result is the time."""
    return lambda _, now: Changed(value=new, result=now, keep=keep)


def reserve(most: int) -> Change[bool]:
    """Return a change that takes one of so many; its result is whether there was one left."""

    def take(value: bytes | None, _: float) -> Changed[bool]:
        taken = int(value or b"0")
        return Changed(value=b"%d" % min(taken + 1, most), result=taken < most)

    return take


async def value_of(state: SharedState, owner: str, key: str = "k") -> bytes | None:
    """Return a value, or None."""
    value, _ = await state.update(owner, key, look)
    return value


async def watch(state: SharedState, owner: str, *, until: float) -> list[tuple[bytes | None, float]]:
    """Look at the value under `k` until this time of the place has passed; return what it was, and when."""
    seen: list[tuple[bytes | None, float]] = []
    with anyio.fail_after(PATIENCE):
        while not seen or seen[-1][1] <= until:
            seen.append(await state.update(owner, "k", look))
    return seen


async def all_at_once(jobs: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run jobs as tasks."""

    async def run(job: Callable[[], Awaitable[object]]) -> None:
        await job()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(run, job)

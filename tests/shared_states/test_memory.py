import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.testing.conformance.shared_state import SharedStateConformance
from assistant_kit.testing.conformance.shared_state_workbench import increment, put

pytestmark = pytest.mark.anyio


class TestMemoryState(SharedStateConformance):
    durable = False

    async def open_state(self, folder: Path) -> SharedState:  # noqa: ARG002  (memory has no place)
        return MemoryState()


async def test_time_stands_still_when_the_clock_is_set_back() -> None:
    clock = iter([100.0, 40.0, 101.0])
    state = MemoryState(clock=lambda: next(clock))

    assert [await state.update("o", "k", put(b"%d" % n)) for n in range(3)] == [100.0, 100.0, 101.0]


async def test_a_value_that_stays_equal_is_not_kept_for_longer() -> None:
    times: Iterator[float] = iter([0.0, 5.0, 11.0])
    state = MemoryState(clock=lambda: next(times))

    await state.update("o", "k", put(b"v", keep=10))
    await state.update("o", "k", put(b"v", keep=10))

    assert await state.values("o") == {}


async def test_values_that_nobody_asks_for_any_more_are_given_up() -> None:
    now = 0.0
    state = MemoryState(clock=lambda: now)
    value = bytes(range(100))
    ours = sys.getrefcount(value)
    await state.update("o", "old", lambda _, __: Changed(value=value, result=None, keep=10))
    now = 20.0
    for _ in range(1022):
        await state.update("o", "k", increment)
    assert sys.getrefcount(value) > ours

    await state.update("o", "k", increment)

    assert sys.getrefcount(value) == ours
    assert await state.values("o") == {"k": b"1023"}

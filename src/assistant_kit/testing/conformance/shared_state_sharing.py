"""Tests of many who change one value at once: tasks, objects, event loops, processes, and tasks that go away."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.testing.conformance.shared_state_workbench import (
    PATIENCE,
    SharedStateWorkbench,
    all_at_once,
    increment,
    put,
    reserve,
    value_of,
)

_COUNTING = """
import sys
import anyio
from assistant_kit.protocols.shared_state import Changed

def increment(value, now):
    return Changed(value=b"%d" % (int(value or b"0") + 1), result=None)

async def count():
    for n in range(200):
        await state.update(sys.argv[1], "k", increment)
        if n == 0:
            print("begun", flush=True)
    await state.aclose()

anyio.run(count)
"""


class SharedStateSharing(SharedStateWorkbench):
    """No change is lost, and each caller is told of his own."""

    async def test_many_tasks_and_objects_lose_no_change(self, states: list[SharedState], owner: str) -> None:
        told: list[int] = []

        async def count(state: SharedState) -> None:
            told.append(await state.update(owner, "k", increment))

        await all_at_once([lambda n=n: count(states[n % 4]) for n in range(200)])

        assert sorted(told) == list(range(1, 201))
        assert await value_of(states[0], owner) == b"200"

    async def test_different_values_do_not_disturb_each_other(self, states: list[SharedState], owner: str) -> None:
        async def count(n: int) -> None:
            await states[n % 4].update(f"{owner}{n % 3}", f"k{n % 7}", increment)

        await all_at_once([lambda n=n: count(n) for n in range(210)])

        for n in range(3):
            assert await states[1].values(f"{owner}{n}") == {f"k{n}": b"10" for n in range(7)}

    async def test_no_more_is_reserved_than_there_is(self, states: list[SharedState], owner: str) -> None:
        granted: list[bool] = []

        async def take(state: SharedState) -> None:
            granted.append(await state.update(owner, "k", reserve(30)))

        await all_at_once([lambda n=n: take(states[n % 4]) for n in range(100)])

        assert granted.count(True) == 30
        assert await value_of(states[3], owner) == b"30"

    async def test_an_error_of_one_change_is_its_callers_alone(self, states: list[SharedState], owner: str) -> None:
        refused: list[tuple[int, int]] = []
        told: list[int] = []

        def count_unless(n: int) -> Callable[[bytes | None, float], Changed[int]]:
            def count(value: bytes | None, now: float) -> Changed[int]:
                if n % 5 == 0:
                    raise ValueError(n)
                return increment(value, now)

            return count

        async def count(n: int) -> None:
            try:
                told.append(await states[n % 4].update(owner, "k", count_unless(n)))
            except ValueError as error:
                refused.append((n, error.args[0]))

        await all_at_once([lambda n=n: count(n) for n in range(50)])

        assert sorted(refused) == [(n, n) for n in range(0, 50, 5)]
        assert sorted(told) == list(range(1, 41))

    @pytest.mark.parametrize("turns", [0, 1, 2, 5])
    async def test_a_task_that_goes_away_leaves_the_others_alone(
        self, state: SharedState, owner: str, turns: int
    ) -> None:
        told: list[int] = []

        async def count() -> None:
            told.append(await state.update(owner, "k", increment))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as staying, anyio.create_task_group() as leaving:
                for n in range(20):
                    (leaving if n % 2 else staying).start_soon(count)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                leaving.cancel_scope.cancel()

        last = await state.update(owner, "k", increment)
        assert 10 <= len(told) <= last - 1 <= 20
        assert len(set(told)) == len(told)

    async def test_an_erasure_among_changes_leaves_a_place_that_works(
        self, states: list[SharedState], owner: str
    ) -> None:
        async def count(n: int) -> None:
            await states[n % 4].update(owner, f"k{n % 3}", increment)

        await all_at_once(
            [
                *(lambda n=n: count(n) for n in range(30)),
                *(lambda n=n: states[n].erase(owner) for n in range(4)),
                *(lambda n=n: count(n) for n in range(30)),
            ]
        )
        await states[0].erase(owner)

        assert await states[1].values(owner) == {}
        assert await states[1].update(owner, "k0", increment) == 1

    async def test_several_event_loops_share_an_object(
        self, state: SharedState, owner: str, anyio_backend_name: str
    ) -> None:
        async def count() -> None:
            with anyio.fail_after(PATIENCE):
                for _ in range(20):
                    await state.update(owner, "k", increment)

        async def elsewhere() -> None:
            await anyio.to_thread.run_sync(lambda: anyio.run(count, backend=anyio_backend_name))

        await all_at_once([elsewhere, count, elsewhere])

        assert await value_of(state, owner) == b"60"

    async def test_objects_see_what_the_others_change(self, states: list[SharedState], owner: str) -> None:
        await states[0].update(owner, "k", put(b"v"))
        assert await value_of(states[1], owner) == b"v"

        await states[1].update(owner, "k", put(b"new"))
        assert await states[2].values(owner) == {"k": b"new"}

        await states[3].erase(owner)
        assert await value_of(states[0], owner) is None

    async def test_a_place_keeps_its_values_when_nobody_uses_it(
        self, states: list[SharedState], owner: str, tmp_path: Path
    ) -> None:
        if not self.durable:
            pytest.skip("this place ends with its object")
        await states[0].update(owner, "k", put(b"v"))
        for state in states:
            await state.aclose()

        later = await self.open_state(tmp_path)
        try:
            assert await later.values(owner) == {"k": b"v"}
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await later.aclose()

    async def test_processes_lose_no_change(self, state: SharedState, owner: str, tmp_path: Path) -> None:
        program = self.elsewhere(tmp_path)
        if program is None:
            pytest.skip("no other process can reach this place")
        command = [sys.executable, "-c", program + _COUNTING, owner]

        with anyio.fail_after(PATIENCE):
            async with await anyio.open_process(command, stdin=subprocess.DEVNULL, stderr=None) as process:
                assert process.stdout is not None
                await process.stdout.receive()  # it has begun
                for _ in range(200):
                    await state.update(owner, "k", increment)
                assert await process.wait() == 0

        assert await value_of(state, owner) == b"400"

    async def test_closing_twice_is_closing(self, state: SharedState, owner: str) -> None:
        await state.update(owner, "k", increment)

        with anyio.fail_after(PATIENCE):
            await state.aclose()
            await state.aclose()

    async def test_a_place_that_was_closed_is_unavailable(self, state: SharedState, owner: str) -> None:
        if not self.durable:
            pytest.skip("there is nothing to close")
        await state.aclose()

        with pytest.raises(StoreUnavailable):
            await state.update(owner, "k", increment)
        with pytest.raises(StoreUnavailable):
            await state.values(owner)
        with pytest.raises(StoreUnavailable):
            await state.erase(owner)

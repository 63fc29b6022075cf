import asyncio
import os
import random
import sys
import time

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.testing.simulation import (
    Process,
    SimulationStuck,
    VirtualLoop,
    current_process,
    later,
    simulate,
)
from assistant_kit.testing.simulation.virtual_loop import EPOCH


def order_of_tasks(seed: int) -> list[int]:
    async def main(loop: VirtualLoop) -> list[int]:
        del loop
        seen: list[int] = []

        async def one(number: int) -> None:
            for _ in range(3):
                await checkpoint()
                seen.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(one, number)
        return seen

    return simulate(main, seed=seed)


def test_one_seed_gives_one_order_and_another_seed_another() -> None:
    assert order_of_tasks(1) == order_of_tasks(1)
    assert len({tuple(order_of_tasks(seed)) for seed in range(10)}) > 5


def test_waiting_takes_virtual_time_only() -> None:
    async def main(loop: VirtualLoop) -> float:
        with anyio.move_on_after(3_600.0):
            await anyio.sleep_forever()
        await anyio.sleep(0.5)
        return loop.time()

    assert simulate(main, seed=1) == 3_600.5


def test_anyio_takes_the_loop_by_itself() -> None:
    async def main() -> float:
        await anyio.sleep(1_000.0)
        return anyio.current_time()

    assert anyio.run(main, backend_options={"loop_factory": lambda: VirtualLoop(1)}) == 1_000.0


def test_it_does_not_need_sniffio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sniffio", None)
    assert order_of_tasks(1) == order_of_tasks(1)


def test_a_timer_that_was_cancelled_takes_no_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        with anyio.move_on_after(1_000.0):
            await checkpoint()
        await anyio.sleep(1.0)
        return loop.time()

    assert simulate(main, seed=1) == 1.0


def test_clocks_and_chance_follow_the_seed_and_are_given_back() -> None:
    before = (os.urandom, time.time, time.monotonic)
    chances = random.getstate()

    async def main(loop: VirtualLoop) -> tuple[bytes, float, float, float]:
        del loop
        await anyio.sleep(7.0)
        return os.urandom(4), random.random(), time.time(), time.monotonic()

    first = simulate(main, seed=3)
    assert first == simulate(main, seed=3)
    assert first[2:] == (EPOCH + 7.0, 7.0)
    assert simulate(main, seed=4)[:2] != first[:2]
    assert (os.urandom, time.time, time.monotonic) == before
    assert random.getstate() == chances


def test_the_clock_of_a_process_may_be_wrong() -> None:
    async def main(loop: VirtualLoop) -> float:
        async def look() -> float:
            return time.time()

        return await Process("p", loop, clock_skew=-90.0).call(look).wait()

    assert simulate(main, seed=1) == EPOCH - 90.0


def test_a_task_that_waits_for_nobody_is_an_error() -> None:
    async def main(loop: VirtualLoop) -> None:
        del loop
        await anyio.Event().wait()

    with pytest.raises(SimulationStuck):
        simulate(main, seed=1)


def test_a_task_that_waits_by_asking_again_and_again_is_an_error() -> None:
    async def main(loop: VirtualLoop) -> None:
        del loop
        while True:
            await checkpoint()

    with pytest.raises(SimulationStuck):
        simulate(main, seed=1)


def test_what_is_done_later_belongs_to_no_process() -> None:
    async def main(loop: VirtualLoop) -> tuple[Process | None, float]:
        seen: list[tuple[Process | None, float]] = []

        async def look() -> None:
            seen.append((current_process(), loop.time()))

        async def ask() -> None:
            later(5.0, look)

        process = Process("p", loop)
        await process.call(ask).wait()
        process.kill()
        await anyio.sleep(10.0)
        return seen[0]

    assert simulate(main, seed=1) == (None, 5.0)


def test_a_call_from_the_one_thread_there_is_may_be_made_as_from_another() -> None:
    async def main(loop: VirtualLoop) -> bool:
        done = anyio.Event()
        loop.call_soon_threadsafe(done.set)
        await done.wait()
        return done.is_set()

    assert simulate(main, seed=1)


def test_an_error_leaves_as_itself_and_the_loop_is_closed() -> None:
    loops: list[VirtualLoop] = []

    async def main(loop: VirtualLoop) -> None:
        loops.append(loop)
        await checkpoint()
        raise LookupError

    with pytest.raises(LookupError):
        simulate(main, seed=1)
    assert loops[0].is_closed()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()

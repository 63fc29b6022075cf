from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.testing.simulation import Process, ProcessDied, Reply, VirtualLoop, current_process, simulate


def test_a_process_answers_and_its_tasks_belong_to_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        process = Process("p", loop)

        async def who() -> Process | None:
            seen: list[Process | None] = []

            async def child() -> None:
                seen.append(current_process())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child)
            return seen[0]

        reply = process.call(who)
        assert not reply.known
        assert await reply.wait() is process
        assert await reply.wait() is process
        assert current_process() is None

    simulate(main, seed=1)


def test_an_error_of_a_process_reaches_who_asked() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def fail() -> None:
            raise LookupError

        await Process("p", loop).call(fail).wait()

    with pytest.raises(LookupError):
        simulate(main, seed=1)


def living(main: Callable[[VirtualLoop, Process, list[str]], Coroutine[Any, Any, None]]) -> list[str]:
    """Run something with a process that notes each second that it lives, and what it does at its end."""
    noted: list[str] = []

    async def run(loop: VirtualLoop) -> None:
        process = Process("p", loop)

        async def work() -> None:
            try:
                while True:
                    await anyio.sleep(1.0)
                    noted.append(f"{loop.time():g}")
            finally:
                noted.append("finally")

        process.call(work)
        await main(loop, process, noted)
        alive = list(noted)
        process.dispose()
        noted[:] = alive

    simulate(run, seed=1)
    return noted


def test_a_killed_process_does_nothing_any_more_not_even_at_its_end() -> None:
    async def main(loop: VirtualLoop, process: Process, noted: list[str]) -> None:
        del loop, noted
        await anyio.sleep(2.5)
        process.kill()
        await anyio.sleep(10.0)

    assert living(main) == ["1", "2"]


def test_a_frozen_process_goes_on_where_it_was_when_it_is_woken() -> None:
    async def main(loop: VirtualLoop, process: Process, noted: list[str]) -> None:
        await anyio.sleep(1.5)
        process.freeze(4.0)
        process.freeze(100.0)
        await anyio.sleep(3.9)
        assert noted == ["1"]
        assert process.state == "frozen"
        await anyio.sleep(2.0)
        assert process.woken_at == 5.5
        process.kill()
        process.freeze(1.0)
        assert process.state == "dead"
        del loop

    assert living(main) == ["1", "5.5", "6.5"]


def test_a_frozen_process_can_be_woken_early_or_killed() -> None:
    async def main(loop: VirtualLoop, process: Process, noted: list[str]) -> None:
        del loop
        await anyio.sleep(0.5)
        process.freeze(100.0)
        await anyio.sleep(2.5)
        process.wake()
        process.wake()
        await anyio.sleep(0.5)
        assert noted == ["3"]
        process.freeze(1.0)
        await anyio.sleep(0.7)
        process.kill()
        await anyio.sleep(5.0)

    assert living(main) == ["3"]


def test_who_waits_for_a_dying_process_learns_of_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        process = Process("p", loop)
        reply = process.call(anyio.sleep_forever)
        known = process.call(checkpoint)
        owed = Reply[int]()
        process.owes(owed)
        await known.wait()
        process.kill()
        for unanswered in (reply, owed, process.call(checkpoint)):
            with pytest.raises(ProcessDied):
                await unanswered.wait()
        owed.give(1)
        reply.fail(LookupError())
        with pytest.raises(ProcessDied):
            await reply.wait()
        process.dispose()

    simulate(main, seed=1)


def test_a_process_is_disturbed_when_its_fuse_has_burnt_down() -> None:
    async def main(loop: VirtualLoop) -> None:
        steps: list[int] = []

        def disturb(process: Process) -> None:
            if len(steps) < 10:
                process.fuse = 5
            else:
                process.kill()

        process = Process("p", loop, disturb=disturb, fuse=5)

        async def work() -> None:
            while True:
                await checkpoint()
                steps.append(1)

        process.call(work)
        await anyio.sleep(1.0)
        assert 10 <= len(steps) < 20
        assert process.state == "dead"
        process.dispose()

    simulate(main, seed=1)


def test_a_function_can_be_called_in_a_process() -> None:
    async def main(loop: VirtualLoop) -> None:
        process = Process("p", loop)
        cancelled: list[bool] = []
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                await anyio.sleep_forever()
            cancelled.append(True)

        reply = process.call(wait)
        await anyio.sleep(1.0)
        process.freeze(5.0)
        process.tell(scope.cancel)
        await anyio.sleep(1.0)
        assert not cancelled
        await reply.wait()
        assert cancelled

    simulate(main, seed=1)


def test_what_was_killed_is_taken_apart_in_silence() -> None:
    async def main(loop: VirtualLoop) -> None:
        process = Process("p", loop)

        async def stubborn() -> None:
            for _ in range(3):
                try:
                    with anyio.CancelScope():
                        await anyio.sleep_forever()
                except GeneratorExit:
                    await checkpoint()
                except RuntimeError:
                    await anyio.sleep_forever()

        async def family() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stubborn)
                tasks.start_soon(stubborn)
                await stubborn()

        process.call(family)
        process.call(checkpoint)
        await anyio.sleep(1.0)
        process.call(family)  # and one that never began
        process.kill()
        process.dispose()

    simulate(main, seed=1)


def test_what_does_not_end_at_all_is_left_in_silence() -> None:
    over: list[bool] = []

    async def main(loop: VirtualLoop) -> None:
        process = Process("p", loop)

        async def immortal() -> None:
            while not over:
                with suppress(BaseException):
                    await loop.create_future()

        async def begin() -> None:
            loop.create_task(immortal())

        await process.call(begin).wait()
        await anyio.sleep(1.0)
        process.kill()
        process.dispose()
        over.append(True)

    simulate(main, seed=1)

"""A part of the cancellation sweep, as the command runs it: in a process of its own, where a warning is an error.

All points: `./scripts/cancel-sweep`, or CANCEL_SWEEP=1 here.
"""

import os
import sys
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.cancellation.steps import How, cancelled_at

EVERY = 1 if os.environ.get("CANCEL_SWEEP") == "1" else 17


async def in_a_process(*arguments: str) -> tuple[int, dict[str, str], str]:
    with anyio.fail_after(300):
        command = [sys.executable, "-W", "error", "-m", "tests.cancellation", *arguments]
        done = await anyio.run_process(command, check=False, stderr=None)
    said = done.stdout.decode()
    return done.returncode, dict(part.split("=") for part in said.splitlines()[-1].split()), said


def test_a_turn_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    code, figures, said = anyio.run(in_a_process, "--every", str(EVERY))
    assert (code, figures["leaks"]) == (0, "0"), said
    assert int(figures["points"]) >= 600 // EVERY, said


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope")])
def test_each_step_of_a_task_and_its_children_is_a_point(backend: str, how: How) -> None:
    async def until_it_ends() -> list[list[str]]:
        outcomes, made = list[list[str]](), True
        while made:
            seen = list[str]()

            async def child(seen: list[str]) -> None:
                await checkpoint()
                seen.append("child")

            async def work(seen: list[str]) -> None:
                seen.append("begun")
                async with anyio.create_task_group() as group:
                    group.start_soon(child, seen)
                await checkpoint()
                seen.append("ended")

            with anyio.fail_after(5):
                done = await cancelled_at(len(outcomes) + 1, partial(work, seen), how=how)
            made = done.made
            outcomes.append(seen)
        return outcomes

    first, *_, last = anyio.run(until_it_ends, backend=backend)
    assert first == ["begun"]
    assert last == ["begun", "child", "ended"]

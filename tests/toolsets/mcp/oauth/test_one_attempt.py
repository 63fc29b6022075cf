import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.toolsets.mcp.oauth.one_attempt import OneAttempt

pytestmark = pytest.mark.anyio


async def test_who_comes_during_an_attempt_shares_its_success() -> None:
    attempt, go, done = OneAttempt(), anyio.Event(), list[str]()

    async def work() -> None:
        done.append("work")
        await go.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(attempt.make, work)
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert done == ["work"]


async def test_who_comes_during_an_attempt_shares_its_failure_and_the_next_attempt_is_new() -> None:
    attempt, go, failed = OneAttempt(), anyio.Event(), list[str]()

    async def work() -> None:
        await go.wait()
        raise LookupError

    async def ask() -> None:
        with pytest.raises(LookupError):
            await attempt.make(work)
        failed.append("once")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            go.set()
        await attempt.make(checkpoint)
    assert failed == ["once"] * 3


async def test_an_attempt_that_is_cancelled_lets_the_next_one_try() -> None:
    attempt, done = OneAttempt(), list[str]()

    async def work() -> None:
        done.append("work")

    async def ask() -> None:
        while not done:
            await attempt.make(work)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:

                async def slow() -> None:
                    tasks.start_soon(ask)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
                    await anyio.sleep_forever()

                await attempt.make(slow)
    assert done == ["work"]

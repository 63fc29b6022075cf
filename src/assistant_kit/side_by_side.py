"""Several jobs at once, at most so many, and one failure leaves as itself."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio


async def side_by_side(jobs: Sequence[Callable[[], Awaitable[None]]], *, limit: int) -> None:
    """Run jobs in one task group, `limit` at a time. The first failure cancels the others and is raised."""
    if len(jobs) == 1:
        await jobs[0]()
        return
    failures: list[Exception] = []
    slots: AbstractAsyncContextManager[object] = nullcontext()
    if len(jobs) > limit:
        slots = anyio.Semaphore(limit, fast_acquire=True)

    async def guarded(job: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            try:
                await job()
            except Exception as error:  # noqa: BLE001  (raised below, outside the group)
                # Cancelled before the slot is free: no job begins after one has failed.
                failures.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(guarded, job)
    if failures:
        raise failures[0]

"""A task that runs beside a block and ends with it."""

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup


class Background:
    """Runs a function in a task of its own until the block is left; an error of the block leaves as itself."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Take what runs beside; it is cancelled at the end of the block, and raises nothing of its own."""
        self._function = function
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Start the task."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._function)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the task and wait for its end."""
        assert self._group is not None  # noqa: S101  (entered)
        self._group.cancel_scope.cancel()
        # The group is told of no error, so that one raised in the block is not wrapped in a group.
        await self._group.__aexit__(None, None, None)

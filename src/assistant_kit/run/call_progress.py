"""What a running tool call says of its progress, on its way to the reader of the run."""

from collections.abc import Callable
from math import isfinite
from threading import get_ident

import anyio
import anyio.from_thread

from assistant_kit.events import Event, ToolProgress

PAUSE = 0.1
"""Seconds between two reports that are shown: a tool that reports without pause must not fill the reader's memory."""
LONGEST = 500
"""Characters of a message."""


class CallProgress:
    """Shows the progress of one call, until it is closed; it is made in the thread of the event loop."""

    def __init__(self, emit: Callable[[Event], None], *, call_id: str, tool: str) -> None:
        self._emit = emit
        self._call_id = call_id
        self._tool = tool
        self._home = get_ident()
        self._next = 0.0
        self._complete = False
        self._closed = False

    def close(self) -> None:
        """Show nothing more: the call has ended."""
        self._closed = True

    def report(self, progress: float, total: float | None, message: str | None) -> None:
        """Take a report, in the event loop or in a worker thread of it."""
        if self._closed:
            return  # also of a thread that goes on after its event loop has ended
        if get_ident() == self._home:
            self._take(progress, total, message)
        else:
            anyio.from_thread.run_sync(self._take, progress, total, message)

    def _take(self, progress: float, total: float | None, message: str | None) -> None:
        now = anyio.current_time()
        complete = total is not None and progress >= total
        if self._closed or not self._is_shown(now, complete=complete) or not _is_finite(progress, total):
            return
        self._next = now + PAUSE
        self._complete = complete
        self._emit(
            ToolProgress(
                call_id=self._call_id,
                tool=self._tool,
                progress=progress,
                total=total,
                message=None if message is None else message[:LONGEST].encode(errors="replace").decode(),
            )
        )

    def _is_shown(self, now: float, *, complete: bool) -> bool:
        """Tell whether a report comes late enough after the one before; that all is done is shown at once."""
        return now >= self._next or (complete and not self._complete)


def _is_finite(progress: float, total: float | None) -> bool:
    """Tell whether the figures have a form in JSON."""
    return isfinite(progress) and (total is None or isfinite(total))

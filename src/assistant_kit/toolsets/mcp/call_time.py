"""How long a call may take: so long after the last sign of life, so long in all, and never beyond the run's time."""

from math import inf

import anyio

from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets._definitions import Terms


class CallTime:
    """The time of one call, from now on. `scope` ends it.

    Without a cap on the whole, progress prolongs nothing: a server that reports it for ever would never be left.
    """

    def __init__(self, terms: Terms, context: ToolContext) -> None:
        now = anyio.current_time()
        self._patience = inf if terms.call_cap is None or terms.call_timeout is None else terms.call_timeout
        self._end = context.deadline.earlier(whole(terms), now=now).at
        self.scope: anyio.CancelScope = anyio.CancelScope(deadline=min(self._end, now + self._patience))

    def heard(self) -> None:
        """Take note of a sign of life."""
        self.scope.deadline = min(self._end, anyio.current_time() + self._patience)


def whole(terms: Terms) -> float | None:
    """Return the seconds that a call may take at most; None where only the run bounds it."""
    return terms.call_timeout if terms.call_cap is None else terms.call_cap

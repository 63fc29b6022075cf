"""Time in which a person decides does not count against the time for a connection or a request."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

import anyio
from mcp.shared._request_clock import waiting_on_a_person  # the SDK's own clocks can be stopped by nothing public

_connecting: ContextVar[anyio.CancelScope | None] = ContextVar("connecting", default=None)


@contextmanager
def connecting(scope: anyio.CancelScope) -> Generator[None]:
    """Say whose deadline has to wait when somebody has to decide before a connection is made."""
    token = _connecting.set(scope)
    try:
        yield
    finally:
        _connecting.reset(token)


@contextmanager
def while_a_person_decides() -> Generator[None]:
    """Stop the clocks of the request and of the connection for whose sake a person is asked."""
    scope = _connecting.get()
    with waiting_on_a_person():
        if scope is None or scope.deadline == inf:
            yield
            return
        left = scope.deadline - anyio.current_time()
        scope.deadline = inf
        try:
            yield
        finally:
            scope.deadline = anyio.current_time() + left

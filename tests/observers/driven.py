"""A run that is told as the engine tells it, around whatever stands in the block."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from assistant_kit.protocols.observer import RunBegan, WatchedRun, WatchingPolicy
from assistant_kit.protocols.policy import Policy


def watching(
    policies: Sequence[Policy], began: RunBegan, *, is_tool: Callable[[str], bool] = bool
) -> AbstractContextManager[WatchedRun]:
    """Return what tells of a run, by the one of these policies that does."""
    (policy,) = (policy for policy in policies if isinstance(policy, WatchingPolicy))
    return policy.watch_run(began, is_tool=is_tool)

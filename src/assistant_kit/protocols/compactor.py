"""The contract of what makes room in a context window."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from assistant_kit.deadline import Deadline
from assistant_kit.entries import Summary
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowded:
    """A window with too much in it. Sizes are in tokens.

    `turns` are shown in it now, the oldest first, behind `summaries`; the turn in progress is not among them. What is
    kept should take `target` tokens at most; more than `limit` cannot be sent. `earlier()` reads, in pages and the
    oldest first, turns that are neither shown nor summed up: of a conversation that was never compacted. `model` is
    the assistant's.
    """

    summaries: Sequence[Summary]
    turns: Sequence[Turn]
    target: int
    limit: int
    counter: TokenCounter
    model: Model
    earlier: Callable[[], AsyncIterator[Sequence[Turn]]]
    deadline: Deadline = field(default_factory=Deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What is to be shown from now on: the newest `keep` turns, behind `summaries`.

    In the oldest `clear` of the turns that are kept, overlong tool results are cleared: the model reads a line in
    their place, with the name under which it can read them again. `model` and `usage` tell what it took.
    """

    keep: int
    clear: int = 0
    summaries: Sequence[Summary] = ()
    strategy: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)


class Compactor(Protocol):
    """Decides what of a conversation is shown when it no longer fits."""

    @property
    def in_background(self) -> bool:
        """Whether it takes long, as asking a model does: then it is asked after a turn, before the window is full.

        A turn that finds the window full all the same waits for it.
        """
        ...

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return what to show; None when this compactor finds nothing to do.

        It only decides: the run loop checks that the result fits, records it, and drops turns when it does not fit or
        when an error is raised. Raises what a model raises.
        """
        ...

"""What a turn in progress knows."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from anyio import CancelScope

from assistant_kit.context_window import Window
from assistant_kit.conversation import Block, Turn, extended, measure, turns_of
from assistant_kit.deadline import Deadline
from assistant_kit.entries import Entry, Measured, ToolFinished
from assistant_kit.errors import StoreError
from assistant_kit.events import Event
from assistant_kit.messages import Item
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.output import Output
from assistant_kit.protocols.policy import Call, Policy
from assistant_kit.protocols.runtime import Runtime
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.run.toolbox import Catalog
from assistant_kit.settings import OnBusy, Settings

_log = logging.getLogger("assistant_kit.tools")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What stays the same over the runs of an assistant. `output` is None for plain text."""

    model: Model
    instructions: str
    output: Output[Any] | None
    settings: Settings
    policies: Sequence[Policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is the same for every turn that one call of `run` or `stream` may have to run.

    `late` takes, from any thread, the end of a call that came after the call was given up.
    """

    parts: Parts
    user: str | None
    conversation: str | None
    catalog: Catalog
    window: Window
    counter: TokenCounter
    timeout: float | None
    deadline: Deadline
    on_busy: OnBusy
    emit: Callable[[Event], None]
    stream: bool
    late: Callable[[ToolFinished], None]


class TurnRun:
    """A turn in progress.

    `entries` begins with its turn_started; `during` says what it is doing, for errors. `unanswered` are records of
    calls that were not made, for the case that the turn is closed before they are. `doubt` is why the end of a call
    could not be recorded: the turn must not be closed without it.
    """

    def __init__(
        self, about: Circumstances, *, runtime: Runtime, history: Sequence[Turn] = (), started: Measured
    ) -> None:
        """Begin, or begin again, the turn that `started` names."""
        self.id: str = started.entry.turn
        self.about = about
        self.parts: Parts = about.parts
        self.runtime: Runtime = runtime
        self.emit: Callable[[Event], None] = about.emit
        self.during = "the start of the run"
        self.entries: list[Measured] = [started]
        self.unanswered: list[ToolFinished] = []
        self.doubt: StoreError | None = None
        self._history = history
        self._current = turns_of(self.entries, about.counter)[-1]
        self._recent: list[Measured] = []
        self._packed: tuple[Turn, Sequence[Turn], tuple[Item, ...]] | None = None

    def continue_with(self, runtime: Runtime, history: Sequence[Turn]) -> None:
        """Record from now on by `runtime`; `history` is what was said before."""
        self.runtime = runtime
        self._history = history

    def add(self, *entries: Measured) -> None:
        """Add what has happened."""
        self.entries += entries
        self._recent += entries

    @property
    def current(self) -> Turn:
        """This turn as messages."""
        if self._recent:
            self._current = extended(self._current, self._recent, self.about.counter)
            self._recent = []
        return self._current

    def measure(self, entry: Entry) -> Measured:
        """Count what an entry adds to a request."""
        return measure(entry, self.about.counter)

    def pack(self, *extra: Block) -> tuple[Item, ...]:
        """Return the items of the next request: what fits of the history, then this turn and `extra`.

        Raises CannotFit. What was left out once stays out, so that the requests of one run share their beginning.
        """
        current = self.current
        if self._packed is not None and self._packed[0] is current and self._packed[1] is self._history and not extra:
            return self._packed[2]
        if extra:
            tokens = current.tokens + sum(block.tokens for block in extra)
            current = replace(current, blocks=(*current.blocks, *extra), tokens=tokens)
        output = self.parts.output
        overhead = self.about.window.overhead(
            self.parts.instructions, self.about.catalog.listed, None if output is None else output.schema
        )
        packed = self.about.window.pack(overhead, self._history, current)
        if packed.dropped_turns:
            self._history = self._history[packed.dropped_turns :]
        self._packed = None if extra else (current, self._history, packed.items)
        return packed.items


async def record(run: TurnRun, end: ToolFinished) -> None:
    """Record what became of a call, whatever happens meanwhile; a store that fails leaves the turn in doubt."""

    async def recorded() -> Measured:
        return run.measure(end)

    with CancelScope(shield=True):
        try:
            await run.runtime.step(end.key, recorded)
        except StoreError as error:
            _log.warning("the end of call %s of %s is not recorded: %s", end.call_id, end.tool, error)
            run.doubt = error


async def through(policies: Sequence[Policy], call: Call[T]) -> T:
    """Make a call through policies, the first one outermost."""
    if not policies:
        return await call.attempt()
    attempt = call.attempt
    for policy in reversed(policies[1:]):
        attempt = _within(policy, call, attempt)
    call.attempt = attempt
    return await policies[0].around(call)


def _within(policy: Policy, call: Call[T], attempt: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    async def around() -> T:
        outer, call.attempt = call.attempt, attempt
        try:
            return await policy.around(call)
        finally:
            call.attempt = outer

    return around

"""What a turn in progress knows."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

from anyio import CancelScope

from assistant_kit.context_window import TOOL_SCHEMAS, Packed, Window
from assistant_kit.conversation import extended, measure, turns_of
from assistant_kit.deadline import Deadline
from assistant_kit.entries import Compacted, Entry, Measured, ToolFinished, TurnFinished, TurnOutcome
from assistant_kit.errors import CannotFit, StoreError
from assistant_kit.events import Event
from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.model import Model, OutputSchema
from assistant_kit.protocols.observer import WatchingPolicy
from assistant_kit.protocols.output import Output
from assistant_kit.protocols.policy import Policy, Priority
from assistant_kit.protocols.runtime import Runtime
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.protocols.tool_selector import ToolSelector
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.request_tokens import tool_tokens
from assistant_kit.run.counting import Counting
from assistant_kit.run.emitter import ignore
from assistant_kit.run.long_results import LongResults
from assistant_kit.run.masking import Masks
from assistant_kit.run.result import usage_of
from assistant_kit.run.toolbox import Catalog
from assistant_kit.run.view_cache import ViewCache
from assistant_kit.settings import OnBusy, Settings
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.turns import Block, Turn
from assistant_kit.view import View, cleared, followed_by, in_progress, refers, view_of

_log = logging.getLogger("assistant_kit.tools")

Find: TypeAlias = Callable[[str, str], Awaitable[ToolFinished | None]]
"""Returns the recorded end of a call of a conversation, by turn and key; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What stays the same over the runs of an assistant. `output` is None for plain text.

    `watching` is the policy that tells observers of runs, if there is one.
    """

    model: Model
    instructions: str
    output: Output[Any] | None
    settings: Settings
    policies: Sequence[Policy]
    watching: WatchingPolicy | None = field(init=False)

    def __post_init__(self) -> None:
        """Find it once: to ask a policy what it is takes longer than most of what it does."""
        found = next((policy for policy in self.policies if isinstance(policy, WatchingPolicy)), None)
        object.__setattr__(self, "watching", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is the same for every turn that one call of `run` or `stream` may have to run.

    `results` keeps what is too long to be shown, `reader` makes the tool that reads it again, and `find` looks up the
    end of a call in the journal.
    `late` takes, from any thread, the end of a call that came after the call was given up. `masks` masks private data,
    if that is wanted.
    """

    parts: Parts
    user: str | None
    conversation: str | None
    catalog: Catalog
    window: Window
    counter: TokenCounter
    counting: Counting
    compactor: Compactor
    selector: Callable[[], ToolSelector]
    memory: UserMemory | None
    views: ViewCache
    results: LongResults
    reader: Callable[[Find], tuple[Toolset, ToolSpec]]
    find: Find
    timeout: float | None
    deadline: Deadline
    on_busy: OnBusy
    priority: Priority
    emit: Callable[[Event], None]
    stream: bool
    late: Callable[[ToolFinished], None]
    masks: Masks | None = None

    def logged(self, text: object) -> str:
        """Return a text, or that of an error, as it may be logged, or recorded as a reason."""
        return str(text) if self.masks is None else self.masks.redact(str(text))

    @property
    def output_schema(self) -> OutputSchema | None:
        """The schema that answers have to fit; None for plain text."""
        return None if self.parts.output is None else self.parts.output.schema

    @property
    def least_overhead(self) -> Mapping[str, int]:
        """What every request carries at least, before tools are chosen: of those that do not all fit, their share."""
        most = int(self.window.budget * self.parts.settings.window.tool_share)
        parts = self.window.overhead(self.parts.instructions, self.catalog.listed, self.output_schema)
        return {**parts, TOOL_SCHEMAS: min(parts[TOOL_SCHEMAS], most)} if TOOL_SCHEMAS in parts else parts


class _Nothing:
    """No earlier turns."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Turn]:
        raise StopAsyncIteration


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was said before a turn: what is shown of it, and the place `seq` of the turn's own first record.

    `newest` is the turn before, if it was not left out when this one began: at least how it began. It need not be in
    the view: this turn may have left it out since, or it is longer than a window.
    `earlier()` reads turns that are neither shown nor left out on purpose, in pages, the oldest first.
    """

    view: View = field(default_factory=View)
    seq: int = 0
    newest: Sequence[Turn] = ()
    earlier: Callable[[], AsyncIterator[Sequence[Turn]]] = _Nothing


class TurnRun:
    """A turn in progress.

    `entries` begins with its turn_started; `during` says what it is doing, for errors. `unanswered` are records of
    calls that were not made, for the case that the turn is closed before they are. `doubt` is why the end of a call
    could not be recorded: the turn must not be closed without it. `past` is what was said before, `catalog` the tools
    on offer in this turn.
    """

    def __init__(self, about: Circumstances, *, runtime: Runtime, started: Measured) -> None:
        """Begin, or begin again, the turn that `started` names."""
        self.id: str = started.entry.turn
        self.about = about
        self.parts: Parts = about.parts
        self.runtime: Runtime = runtime
        self.emit: Callable[[Event], None] = about.emit
        self.hear: Callable[[Event], None] = ignore
        self.during = "the start of the run"
        self.entries: list[Measured] = [started]
        self.unanswered: list[ToolFinished] = []
        self.doubt: StoreError | None = None
        self.past: Past = Past()
        self._catalog: Catalog = about.catalog
        self._reading = False
        self._looked_at: Turn | None = None
        self._current_refers = False
        self._overhead: tuple[Catalog, Mapping[str, int]] | None = None
        self._current = turns_of(self.entries, about.counter)[-1]
        self._recent: list[Measured] = []
        self._shown: tuple[Turn, View, Turn] | None = None

    def tell(self, event: Event) -> None:
        """Tell the reader, and those who watch the run."""
        self.emit(event)
        self.hear(event)

    def continue_with(self, runtime: Runtime, past: Past) -> None:
        """Record from now on by `runtime`; `past` is what was said before."""
        self.runtime = runtime
        self.past = past

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

    def shown(self, *extra: Block) -> Turn:
        """Return this turn as the model reads it, with `extra` behind it."""
        current, view = self.current, self.past.view
        if extra:  # what is shown of an answer may depend on what stands behind it
            return in_progress(view, followed_by(current, extra), self.about.counter)
        if self._shown is None or self._shown[0] is not current or self._shown[1] is not view:
            self._shown = (current, view, in_progress(view, current, self.about.counter))
        return self._shown[2]

    @property
    def catalog(self) -> Catalog:
        """The tools on offer: with the one that reads results again, from the first on that is not shown in full."""
        if not self._reading and self._refers:
            self._reading = True
            self._catalog = self._catalog.with_tool(*self.about.reader(self._find))
        return self._catalog

    def tool(self, name: str) -> tuple[Toolset, ToolSpec] | None:
        """Return a tool on offer, by its name."""
        # Only the one that reads results may have come since the last request was made.
        return self._catalog.tools.get(name) or self.catalog.tools.get(name)

    def reads_results(self, tool: str) -> bool:
        """Tell whether a tool is the one that reads results again."""
        found = self.tool(tool)
        return found is not None and self._reading and found[1] is self.about.reader(self._find)[1]

    @property
    def _refers(self) -> bool:
        """Whether anything can be read again: of what was said before, or of the turn in progress."""
        current = self.current
        if self._looked_at is not current:
            self._looked_at, self._current_refers = current, refers(current)
        return self._current_refers or self.past.view.refers

    @property
    def reader_tokens(self) -> int:
        """What the tool that reads results again would add to a request; 0 when it is on offer already."""
        catalog = self.catalog
        if self._reading or not catalog.tools:
            return 0
        return tool_tokens(self.about.reader(self._find)[1], self.about.counter)

    def offer(self, catalog: Catalog) -> None:
        """Offer these tools from now on."""
        self._catalog = catalog
        self._reading = False

    async def _find(self, turn: str, key: str) -> ToolFinished | None:
        """Return the end of a call of this conversation."""
        for measured in self.entries:
            entry = measured.entry
            if isinstance(entry, ToolFinished) and (entry.turn, entry.key) == (turn, key):
                return entry
        return await self.about.find(turn, key)

    @property
    def overhead(self) -> Mapping[str, int]:
        """The tokens of what every request of this run carries, by the name of the part."""
        catalog = self.catalog
        if self._overhead is None or self._overhead[0] is not catalog:
            about = self.about
            parts = about.window.overhead(self.parts.instructions, catalog.listed, about.output_schema)
            self._overhead = (catalog, parts)
        return self._overhead[1]

    def pack(self, *extra: Block) -> Packed:
        """Return the next request: what is shown of the conversation, then this turn and `extra`. Raises CannotFit."""
        return self.about.window.pack(self.overhead, self.past.view, self.shown(*extra))

    def can_shrink(self, *extra: Block) -> bool:
        """Tell whether what has to be in the next request leaves room for it."""
        try:
            room = self.about.window.room(self.overhead)
        except CannotFit:
            return False
        return cleared(followed_by(self.current, extra), self.about.counter).tokens <= room

    def compacted(self, measured: Measured) -> None:
        """Show less from now on, as an entry says that was recorded in this turn."""
        entry = measured.entry
        assert isinstance(entry, Compacted)  # noqa: S101  (what is recorded under the key of a compaction)
        self.add(measured)
        view = view_of(self.past.view.turns, self.about.counter, compacted=entry, now=self.id)
        self.past = replace(self.past, view=view)

    def end(self, outcome: TurnOutcome, reason: str = "") -> TurnFinished:
        """Return the record of the end, or the pause, of this turn."""
        compacted = self.past.view.compacted
        return TurnFinished(
            turn=self.id,
            outcome=outcome,
            usage=usage_of(self.entries),
            reason=reason,
            compacted="" if compacted is None else compacted.record_id,
        )


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

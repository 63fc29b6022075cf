"""Reads the records of one conversation in order, and finds what this library cannot have written so."""

from collections.abc import Iterator

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    Measured,
    MemoriesExtracted,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.errors import UnreadableEntry
from assistant_kit.journal_json import decode
from assistant_kit.messages import ToolCall
from assistant_kit.protocols.store import ConversationInfo, Record, TurnState
from assistant_kit.registry import is_hidden
from assistant_kit.run.long_results import KIND, pieces_in


class JournalCheck:
    """Takes the records of a conversation one by one.

    `turn` holds the entries of the unfinished turn, `unknown` the ends of calls whose outcome nobody has found out,
    by turn and key. `state` is None when entries are missing, so that it cannot be told.
    """

    def __init__(self, conversation: str) -> None:
        self._conversation = conversation
        self._total = 0
        self._fence = 0
        self._gaps = False
        self._calls = _Calls()
        self.seq: int = 0
        self.turns: int = 0
        self.state: TurnState | None = "idle"
        self.turn: list[Measured] = []
        self.unknown: dict[tuple[str, str], Measured] = {}

    def take(self, record: Record) -> Iterator[str]:
        """Take the next record; yield what is wrong with it."""
        yield from self._frame(record)
        if record.kind == KIND and is_hidden(self._conversation):
            yield from self._kept(record)
            return
        try:
            measured = decode(
                record.body, conversation=self._conversation, seq=record.seq, tokens=record.tokens, at=record.at
            )
        except UnreadableEntry as error:
            self.lose_track()
            yield f"it cannot be read: {error.problem}"
            return
        if measured.entry.kind != record.kind:
            yield f"it is filed as {record.kind!r} and holds a {measured.entry.kind!r}"
        yield from self._follow(measured)

    def lose_track(self) -> None:
        """Note that entries are missing here: what comes next is not held against what came before."""
        self._gaps = True
        self.state = None
        self.turn = []

    def compare(self, info: ConversationInfo) -> Iterator[str]:
        """Yield how the journal differs from what the list of conversations says of it."""
        if self.seq != info.records:
            yield f"the list counts {info.records} records, the last one is {self.seq}"
        if self.state not in (info.state, None):
            yield f"the list calls it {info.state}, its entries leave it {self.state}"

    def _frame(self, record: Record) -> Iterator[str]:
        if record.seq != self.seq + 1:
            yield f"records {self.seq + 1} to {record.seq - 1} before it are missing"
            self.lose_track()
            self._total = record.total_tokens - record.tokens
        elif record.total_tokens != self._total + record.tokens:
            yield f"its running total is {record.total_tokens} tokens instead of {self._total + record.tokens}"
        if record.fence < self._fence:
            yield f"its fence is {record.fence}, after {self._fence}: its writer had lost the lease"
        self.seq, self._total, self._fence = record.seq, record.total_tokens, max(self._fence, record.fence)

    def _kept(self, record: Record) -> Iterator[str]:
        """A part of an overlong tool result: it stands in a conversation of its own, and belongs to no turn."""
        try:
            pieces_in(self._conversation, record)
        except UnreadableEntry as error:
            yield f"it cannot be read: {error.problem}"

    def _follow(self, measured: Measured) -> Iterator[str]:
        match measured.entry:
            case CallResolved(turn=turn, key=key):
                if self.unknown.pop((turn, key), None) is None and not self._gaps:
                    yield f"it settles call {turn}/{key}, whose outcome was not unknown"
            case TurnStarted(turn=turn):
                if self.turn:
                    yield f"turn {turn} begins before turn {self.turn[0].entry.turn} is finished"
                self.turns += 1
                self.turn, self.state, self._calls = [measured], "open", _Calls()
            case Compacted() | MemoriesExtracted() if not self.turn:
                pass  # what is done after a turn
            case _ if self.state is None:
                pass
            case entry if not self.turn or entry.turn != self.turn[0].entry.turn:
                yield f"it belongs to turn {entry.turn}, which is not open here"
            case entry:
                yield from self._calls.take(entry)
                self._go_on(measured)

    def _go_on(self, measured: Measured) -> None:
        self.turn.append(measured)
        match measured.entry:
            case TurnFinished(outcome="waiting" | "parked" as outcome):
                self.state = outcome
            case TurnFinished():
                self.state, self.turn = "idle", []
            case ToolFinished(outcome="unknown", turn=turn, key=key):
                self.unknown[turn, key] = measured
                self.state = "open"
            case ApprovalDecided():
                pass  # it goes on when somebody resumes it
            case _:
                self.state = "open"


class _Calls:
    """The tool calls of one turn."""

    def __init__(self) -> None:
        self._steps: set[int] = set()
        self._asked: set[str] = set()
        self._started: set[str] = set()
        self._ended: set[str] = set()

    def take(self, entry: Entry) -> Iterator[str]:
        """Take the next entry of the turn; yield what is wrong with it."""
        match entry:
            case ModelResponded(step=step):
                if step in self._steps:
                    yield f"step {step} of its turn is answered twice"
                calls = [item for item in entry.items if isinstance(item, ToolCall)]
                self._steps.add(step)
                self._asked |= {f"{step}.{index}" for index in range(len(calls))}
            case ToolStarted():
                yield from self._start(entry)
            case ToolFinished():
                yield from self._end(entry)
            case TurnFinished(outcome="completed") if self._asked - self._ended:
                yield f"it ends a turn as completed in which call {min(self._asked - self._ended)} has no end"
            case _:
                pass

    def _start(self, entry: ToolStarted) -> Iterator[str]:
        if entry.key not in self._asked:
            yield f"it starts call {entry.key}, which the model has not asked for"
        if entry.key in self._ended:
            yield f"it starts call {entry.key}, which has ended already"
        if entry.effect == "once" and (entry.attempt > 1 or entry.key in self._started):
            yield f"it starts call {entry.key} again, which may be made once only"
        self._started.add(entry.key)

    def _end(self, entry: ToolFinished) -> Iterator[str]:
        if entry.key not in self._asked:
            yield f"it ends call {entry.key}, which the model has not asked for"
        if entry.key in self._ended:
            yield f"it ends call {entry.key} a second time"
        self._ended.add(entry.key)

"""Journals read back as turns, with what is wrong with their form."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Literal, TypeAlias

from assistant_kit.entries import (
    CallResolved,
    Compacted,
    Entry,
    MemoriesExtracted,
    MemoriesRecalled,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnOutcome,
    TurnResumed,
    TurnStarted,
)
from assistant_kit.errors import UnreadableEntry
from assistant_kit.journal_json import decode
from assistant_kit.messages import AssistantMessage, Outcome, ToolCall, text_of
from assistant_kit.protocols.store import Record
from tests.chaos.orders import Order

Blame: TypeAlias = Literal["doubled", "lost", "broken"]


_PAUSES = ("waiting", "parked")
_BEHIND = (CallResolved, Compacted, MemoriesExtracted)
"""Entries that may stand behind the end of their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was not kept."""

    blame: Blame
    text: str


@dataclass(slots=True, kw_only=True)
class Turn:
    """A recorded turn. `trace` has a line for each record, for people."""

    conversation: str
    order: Order
    request_id: str | None
    entries: list[Entry] = field(default_factory=list[Entry])
    trace: list[str] = field(default_factory=list[str])

    def add(self, entry: Entry, record: Record) -> None:
        """Take in the next record."""
        self.entries.append(entry)
        self.trace.append(f"{record.seq} at {record.at:.3f} fence {record.fence}: {_shown(entry)}")

    @property
    def outcome(self) -> TurnOutcome | None:
        """How the turn has ended; None while it is open or paused."""
        last = next(entry for entry in reversed(self.entries) if not isinstance(entry, _BEHIND))
        if isinstance(last, TurnFinished) and last.outcome not in _PAUSES:
            return last.outcome
        return None

    @property
    def turn(self) -> str:
        return self.entries[0].turn

    @property
    def calls(self) -> list[ToolCall]:
        return [item for entry in self.entries if isinstance(entry, ModelResponded) for item in _calls(entry)]

    def keys_of(self, call_id: str) -> set[str]:
        """The idempotency keys under which a call was to be made."""
        started = [entry for entry in self.entries if isinstance(entry, ToolStarted)]
        return {entry.idempotency_key for entry in started if entry.call_id == call_id}

    @property
    def ends(self) -> dict[str, Outcome]:
        """What was told to the model about each call."""
        ends: dict[str, Outcome] = {}
        ends.update((entry.call_id, entry.outcome) for entry in self.entries if isinstance(entry, ToolFinished))
        return ends

    @property
    def words(self) -> dict[str, str]:
        """What the model read about each call."""
        return {entry.call_id: text_of(entry.content) for entry in self.entries if isinstance(entry, ToolFinished)}

    @property
    def became(self) -> dict[str, Outcome]:
        """What is known about each call, also what was found out later."""
        became = self.ends
        became.update((entry.call_id, entry.outcome) for entry in self.entries if isinstance(entry, CallResolved))
        return became

    @property
    def text(self) -> str:
        """The model's last words."""
        answers = [entry for entry in self.entries if isinstance(entry, ModelResponded)]
        last = answers[-1].items if answers else ()
        return "".join(item.text for item in last if isinstance(item, AssistantMessage))


def _shown(entry: Entry) -> str:
    match entry:
        case ModelResponded():
            return f"{entry.kind} {entry.step}: {[call.call_id for call in _calls(entry)]}"
        case ToolStarted():
            return f"{entry.kind} {entry.call_id} attempt {entry.attempt}"
        case ToolFinished() | CallResolved():
            return f"{entry.kind} {entry.call_id} {entry.outcome}"
        case TurnResumed():
            return f"{entry.kind} attempt {entry.attempt} by {entry.worker}"
        case TurnFinished():
            return f"{entry.kind} {entry.outcome} {entry.reason}"
        case Compacted():
            return f"{entry.kind} {entry.key} before {entry.before}"
        case _:
            return entry.kind


def _calls(entry: ModelResponded) -> list[ToolCall]:
    return [item for item in entry.items if isinstance(item, ToolCall)]


def check_records(conversation: str, records: Sequence[Record]) -> Iterator[Violation]:
    """Check what a store promises of any journal."""
    if [record.seq for record in records] != list(range(1, len(records) + 1)):
        yield _broken(conversation, f"its seq is not dense: {[record.seq for record in records]}")
    for earlier, later in pairwise(records):
        if later.fence < earlier.fence:
            yield _broken(conversation, f"record {later.seq} was written by an older holder than the one before it")
        if later.at < earlier.at:
            yield _broken(conversation, f"record {later.seq} is older than the one before it")
    totals = list(accumulate(record.tokens for record in records))
    if [record.total_tokens for record in records] != totals:
        yield _broken(conversation, "its totals of tokens are wrong")
    for record_id, times in Counter(record.record_id for record in records).items():
        if times > 1:
            yield Violation(blame="doubled", text=f"{conversation}: record {record_id} stands there {times} times")


def turns_in(conversation: str, records: Sequence[Record]) -> tuple[list[Turn], list[Violation]]:
    """The turns of a journal, and what is wrong with it."""
    wrong = list(check_records(conversation, records))
    turns: list[Turn] = []
    for record in records:
        try:
            entry = decode(record.body, conversation=conversation, seq=record.seq, tokens=record.tokens, at=0.0).entry
        except UnreadableEntry as error:
            wrong.append(_broken(conversation, str(error)))
            continue
        if isinstance(entry, TurnStarted):
            order = Order.of(text_of(entry.input.content))
            turns.append(Turn(conversation=conversation, order=order, request_id=entry.request_id))
            turns[-1].add(entry, record)
        elif isinstance(entry, CallResolved) and any(turn.turn == entry.turn for turn in turns):
            next(turn for turn in turns if turn.turn == entry.turn).add(entry, record)
        elif not turns or turns[-1].turn != entry.turn:
            wrong.append(_broken(conversation, f"record {record.seq} ({entry.kind}) stands in another turn"))
        else:
            turns[-1].add(entry, record)
    wrong += check_compactions(conversation, turns)
    return turns, [*wrong, *(found for turn in turns for found in check_turn(turn))]


def check_compactions(conversation: str, turns: Sequence[Turn]) -> Iterator[Violation]:
    """Check that no compaction brings back what an earlier one has left out, and that each has a key of its own."""
    compactions = [entry for turn in turns for entry in turn.entries if isinstance(entry, Compacted)]
    for earlier, later in pairwise(compactions):
        if later.before < earlier.before:
            yield _broken(conversation, f"{later.key} shows turns that {earlier.key} has left out")
    for record_id, times in Counter(entry.record_id for entry in compactions).items():
        if times > 1:
            yield Violation(blame="doubled", text=f"{conversation}: compaction {record_id} is recorded {times} times")


def check_turn(turn: Turn) -> Iterator[Violation]:
    """Check that a turn is whole: each call answered once and in time, each intent before its end, one end."""
    yield from _check_order(turn)
    where = f"{turn.conversation} {turn.order.name}"
    for call_id, times in Counter(e.call_id for e in turn.entries if isinstance(e, ToolFinished)).items():
        if times > 1:
            yield Violation(blame="doubled", text=f"{where}: call {call_id} has {times} ends")
    if turn.outcome is None:
        yield Violation(blame="lost", text=f"{where}: the turn is not finished ({turn.entries[-1].kind})")
    unanswered = [call.call_id for call in turn.calls if call.call_id not in turn.ends]
    if turn.outcome == "completed" and unanswered:
        yield _broken(where, f"calls {unanswered} are not answered")
    planned = turn.order.calls
    asked = tuple(call.call_id for call in turn.calls)
    if asked != planned[: len(asked)] or (turn.outcome == "completed" and asked != planned):
        yield _broken(where, f"its calls are {asked}, planned are {planned}")
    if turn.outcome == "completed":
        expected = turn.order.answer((call.name, turn.ends.get(call.call_id, "unknown")) for call in turn.calls)
        if turn.text != expected:
            yield _broken(where, f"its answer is {turn.text!r}, expected is {expected!r}")


def _check_order(turn: Turn) -> Iterator[Violation]:
    walk = _Walk()
    for entry in turn.entries:
        for problem in walk.step(entry):
            yield _broken(f"{turn.conversation} {turn.order.name}", problem)


@dataclass(slots=True)
class _Walk:
    """Goes through a turn, entry by entry. `asked` has the calls that are not answered yet."""

    asked: set[str] = field(default_factory=set[str])
    attempt: int = 1
    answered: bool = False
    ended: bool = False

    def step(self, entry: Entry) -> Iterator[str]:
        """Say what is wrong with the next entry."""
        if self.ended and not isinstance(entry, _BEHIND):
            yield f"the turn goes on after its end ({entry.kind})"
        match entry:
            case ModelResponded():
                if self.asked:
                    yield f"step {entry.step} was asked for while {self.asked} were not answered"
                self.asked |= {call.call_id for call in _calls(entry)}
                self.answered = True
            case ToolStarted() | ToolFinished():
                yield from self._call(entry)
            case TurnResumed(attempt=attempt):
                if attempt <= self.attempt:
                    yield f"attempt {attempt} follows attempt {self.attempt}"
                self.attempt = attempt
            case TurnFinished(outcome=outcome):
                self.ended = outcome not in _PAUSES
                self.attempt = 1 if outcome == "parked" else self.attempt
            case _:
                yield from self._around(entry)

    def _around(self, entry: Entry) -> Iterator[str]:
        """Say what is wrong with the place of an entry that belongs to no step."""
        match entry:
            case MemoriesRecalled() if self.answered:
                yield "memories were recalled after the first answer"
            case Compacted(key=key) if key.startswith("compact/after/") != self.ended:
                yield f"{key} stands {'behind' if self.ended else 'before'} the end of the turn"
            case MemoriesExtracted() if not self.ended:
                yield "something was learned from a turn that had not ended"
            case _:
                pass

    def _call(self, entry: ToolStarted | ToolFinished) -> Iterator[str]:
        if entry.call_id not in self.asked:
            yield f"{entry.kind} of call {entry.call_id} stands where it is not open"
        if isinstance(entry, ToolFinished):
            self.asked.discard(entry.call_id)


def _broken(where: str, what: str) -> Violation:
    return Violation(blame="broken", text=f"{where}: {what}")

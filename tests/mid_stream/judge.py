"""What must hold for each case, held against what the reader saw, the journal, the tools and the provider."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from assistant_kit.entries import Entry, ModelResponded, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from assistant_kit.errors import AssistantKitError, ModelBroke, ModelTimeout, ModelUnavailable, ModelUnreachable
from assistant_kit.events import Error, Event
from assistant_kit.messages import AssistantMessage
from tests.mid_stream.cases import Case
from tests.mid_stream.provider import FINE, answer_events
from tests.mid_stream.reader import Reader

TOOLS = ["look", "pay"]
_FAILURES = (ModelBroke, ModelTimeout, ModelUnavailable, ModelUnreachable)


@dataclass(slots=True, kw_only=True)
class Observed:
    """What came of a case. `raised` is what the stream raised, `ran` the tools that ran, `after` the next answer."""

    events: list[Event] = field(default_factory=list[Event])
    raised: AssistantKitError | None = None
    entries: list[Entry] = field(default_factory=list[Entry])
    ran: list[str] = field(default_factory=list[str])
    requests: int = 0
    after: str = ""

    @property
    def completed(self) -> bool:
        """Whether the turn was answered."""
        return self.raised is None


def violations(case: Case, observed: Observed) -> Iterator[str]:
    """Yield what should not be so."""
    reader = Reader().read(observed.events)
    turn, after = _turns(observed.entries)
    yield from reader.wrong
    yield from _texts(reader, turn, observed)
    yield from _tools(turn, observed)
    yield from _requests(case, reader, turn, observed)
    yield from _outcome(case, reader, turn, observed)
    if observed.after != FINE or [entry.outcome for entry in after if isinstance(entry, TurnFinished)] != ["completed"]:
        yield f"the next run came to {observed.after!r}"


def _turns(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    begun = [entry.turn for entry in entries if isinstance(entry, TurnStarted)]
    first, second = ([entry for entry in entries if entry.turn == turn] for turn in begun[:2])
    return first, second


def _texts(reader: Reader, turn: Sequence[Entry], observed: Observed) -> Iterator[str]:
    stored = [
        "".join(item.text for item in entry.items if isinstance(item, AssistantMessage))
        for entry in turn
        if isinstance(entry, ModelResponded)
    ]
    if reader.kept != stored:
        yield f"the reader is left with {reader.kept}, the journal has {stored}"
    if observed.completed and (not stored or not stored[-1].endswith("have looked.")):
        yield f"the turn is completed with {stored}"


def _tools(turn: Sequence[Entry], observed: Observed) -> Iterator[str]:
    ended = sorted(entry.tool for entry in turn if isinstance(entry, ToolFinished) and entry.outcome == "ok")
    begun = [entry.tool for entry in turn if isinstance(entry, ToolStarted)]
    if sorted(observed.ran) != ended or begun != [name for name in ended if name == "pay"]:
        yield f"ran: {observed.ran}, recorded: {begun} as begun and {ended} as ended"
    if ended != (TOOLS if observed.completed or len(ended) > 0 else []):
        yield f"{ended} have run once each, of {TOOLS}"


def _requests(case: Case, reader: Reader, turn: Sequence[Entry], observed: Observed) -> Iterator[str]:
    """Each request has ended in a record, another attempt, another model or the error: none is hidden."""
    answered = sum(isinstance(entry, ModelResponded) for entry in turn)
    accounted = answered + reader.retries + reader.fallbacks + (not observed.completed)
    given_up = case.kind == "hang" and observed.requests < accounted  # before it came: on a machine that is very busy
    if observed.requests != accounted and not given_up:
        yield f"{observed.requests} requests, {accounted} accounted for"


def _outcome(case: Case, reader: Reader, turn: Sequence[Entry], observed: Observed) -> Iterator[str]:
    last = observed.events[-1]
    said = last.error if isinstance(last, Error) else None
    if said is not observed.raised or not isinstance(said, (*_FAILURES, type(None))):
        yield f"the stream ends with {said!r} and raises {observed.raised!r}"
    outcomes = [entry.outcome for entry in turn if isinstance(entry, TurnFinished)]
    if outcomes != ["completed" if observed.completed else "failed"]:
        yield f"completed: {observed.completed}, recorded as {outcomes}"
    if (reader.retries and case.policy == "none") or (reader.fallbacks and case.policy != "fallback"):
        yield f"{reader.retries} retries and {reader.fallbacks} fallbacks under {case.policy}"
    if reader.anew and case.policy != "anew":
        yield "an attempt that had shown something was made again"
    if observed.completed != expected(case, reader, completed=observed.completed):
        yield f"completed: {observed.completed}"


def expected(case: Case, reader: Reader, *, completed: bool) -> bool:
    """Tell whether a turn should be completed; behind the answer's last event but its end, both are right."""
    felt = case.index <= answer_events(case.wire, case.where)
    if not felt:
        return completed if case.policy != "fallback" or case.reach == "everywhere" else True
    if case.policy == "fallback":
        return case.reach != "everywhere"
    if case.policy == "anew":
        return True
    return case.policy == "retry" and case.reach == "once" and reader.retries == 1

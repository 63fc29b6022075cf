"""The rules of the context window: what a request may take, what it may leave out, and what has to be on record of it.

Some are checked as a request passes; those that compare it with the journal, when the world has come to rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from assistant_kit.conversation import NOT_MADE, OUTCOME_UNKNOWN
from assistant_kit.entries import CallResolved, Compacted, ModelResponded, TurnFinished, TurnStarted
from assistant_kit.messages import Item, Text, ToolAnswer, ToolCall, UserMessage, text_of
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.request_tokens import TOOLS, answer_tokens, request_tokens, tool_tokens
from assistant_kit.settings import WindowSettings
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.read_result import NAME, SPEC
from tests.simulation.ledger import CallOnRecord, Ledger, Place, TurnOnRecord, Written, nonce_of
from tests.simulation.script import heard

COUNTER = UpperBound()
CLEARED = "[This result was cleared"
SAME = "[The same result as"
SHORTENED = (CLEARED, SAME)
"""What stands in the place of a result that is not shown."""
SUMMARY = "[Summary"
LOST = "(The whole text is not kept any more."
_CUT = "\n[… "
_REPAIR = 1_000  # tokens that the request for another answer takes, at most
_READING = TOOLS + tool_tokens(SPEC, COUNTER)


@dataclass(slots=True)
class Windows:
    """Looks at requests, and at what is recorded of them. `broken` notes a violation."""

    ledger: Ledger
    settings: WindowSettings
    broken: Callable[[str, str], None]
    requests: dict[int, ModelRequest] = field(default_factory=dict[int, ModelRequest])

    def asked(self, turn: TurnOnRecord, request: ModelRequest) -> int:
        """Look at a request, and return its number: it is in the name of the model that answers it."""
        tokens = request_tokens(request, COUNTER)
        if tokens > self.settings.budget:
            self.broken("window", f"a request for {turn.ref} takes {tokens} tokens of {self.settings.budget}")
        self._newest_results(turn, request)
        self._read_again(turn, request.items)
        self.requests[len(self.requests) + 1] = request
        return len(self.requests)

    def _newest_results(self, turn: TurnOnRecord, request: ModelRequest) -> None:
        """Check that the newest results are not cleared, not even one more than it takes: the turn would be too long.

        The model has not read them yet, or has to answer from them again.
        """
        last = max(place for place, item in enumerate(request.items) if isinstance(item, UserMessage))
        now = request.items[last:]
        calls = max((place for place, item in enumerate(now) if isinstance(item, ToolCall)), default=0)
        newest = {id(item) for item in now[calls:]}
        # Who comes late may ask about a step that is behind the turn already.
        pairs = zip((item for item in now if isinstance(item, ToolAnswer)), turn.calls.values(), strict=False)
        gone = [pair for pair in pairs if id(pair[0]) in newest and _words(pair[0]).startswith(CLEARED)]
        if not gone:
            return
        one, call = gone[-1]
        items = [_whole(one, call) if item is one else item for item in now]
        tokens = request_tokens(replace(request, items=items), COUNTER)
        if tokens <= self.settings.budget:
            self.broken("window", f"{turn.ref}: a result nobody has read is cleared; it fits, with {tokens} tokens")

    def _read_again(self, turn: TurnOnRecord, items: Sequence[Item]) -> None:
        """Check that what is read again is what was recorded."""
        for call, answer in _calls(items):
            if call.name != NAME or answer.outcome != "ok":
                continue
            page = _words(answer)
            if page.startswith(SHORTENED):
                continue
            handle = call.arguments.partition('"handle": "')[2].partition('"')[0]
            name, _, key = handle.rpartition("/")
            recorded = self.ledger.turns[name].calls[key]
            known = [_beginning(text_of(end.content)) for end in (recorded.end, recorded.resolved) if end is not None]
            text = _beginning(page.partition("\n")[2])
            if page.startswith(LOST) or not any(text.startswith(one) or one.startswith(text) for one in known):
                self.broken("kept", f"{turn.ref} read {page[:80]!r} as the result {handle}; recorded: {known}")

    # When the world has come to rest

    def check(self) -> None:
        """Hold the requests that were answered on record against the journals."""
        for place, journal in self.ledger.journals.items():
            _Walk(self, place).over(journal)
        for place, text in self.ledger.named.items():
            if self.ledger.text_of(place) != text:
                self.broken("kept", f"{place} has changed since a result named it")


@dataclass(slots=True)
class _Walk:
    """Goes through a journal. `last` is the newest request whose answer is on record, `added` what came after it."""

    windows: Windows
    place: Place
    turns: list[tuple[int, TurnOnRecord]] = field(default_factory=list[tuple[int, TurnOnRecord]])
    compacted: Compacted | None = None
    last: ModelRequest | None = None
    added: int = 0
    compactions: int = 0

    def over(self, journal: Sequence[Written]) -> None:
        """Look at each record."""
        for written in journal:
            entry = written.measured.entry
            match entry:
                case TurnStarted():
                    self.turns.append((written.record.seq, self.windows.ledger.turns[entry.turn]))
                case ModelResponded():
                    self._answered(entry)
                case Compacted():
                    self._compacted(entry, written)
                case TurnFinished() if entry.outcome not in ("waiting", "parked"):
                    self.added += _made_up(self.windows.ledger.turns[entry.turn])
                case _:
                    pass
            self.added += written.record.tokens

    def _answered(self, entry: ModelResponded) -> None:
        request = self.windows.requests[int(entry.model.partition("/")[2])]
        ref = self.windows.ledger.turns[entry.turn].ref
        self._shows_what_is_left(ref, request.items)
        self._clears_what_is_recorded(ref, request.items)
        if self.last is not None and not self.compactions:
            self._begins_alike(ref, self.last.items, request.items)
        self.last, self.added, self.compactions = request, 0, 0

    def _shows_what_is_left(self, ref: str, items: Sequence[Item]) -> None:
        """Check that a request shows the turns that the newest compaction on record leaves, and all of them."""
        first = 0 if self.compacted is None else self.compacted.before
        said = [text_of(item.content) for item in items if isinstance(item, UserMessage)]
        shown = [heard(text).ref for text in said if not text.startswith(SUMMARY)]
        left = [
            turn.ref
            for seq, turn in self.turns
            if seq >= first and (turn.answers or turn.outcome != "failed" or turn.ref == ref)
        ]
        if shown != left:
            self._broken("compaction", f"a request for {ref} shows {shown}; {left} are left from record {first} on")
        summaries = 0 if self.compacted is None else len(self.compacted.summaries)
        if len(said) - len(shown) != summaries:
            self._broken("compaction", f"a request for {ref} has {len(said) - len(shown)} summaries of {summaries}")

    def _clears_what_is_recorded(self, ref: str, items: Sequence[Item]) -> None:
        until = self._cleared(self.compacted)
        for call, answer in _calls(items):
            recorded = self.windows.ledger.of_nonce.get(nonce_of(call.arguments) or 0)
            if recorded is None or not _words(answer).startswith(CLEARED):
                continue
            step, _, index = recorded.key.partition(".")
            if (self._begun(recorded.turn), int(step), int(index)) >= until:
                self._broken("compaction", f"a request for {ref} clears {recorded.key} of {recorded.turn}, unrecorded")

    def _begins_alike(self, ref: str, earlier: Sequence[Item], later: Sequence[Item]) -> None:
        """Check that a request begins as the one before it, but for results of which more was found out since."""
        found_out = {id(answer) for call, answer in _calls(earlier) if self._is_resolved(call)}
        for place, item in enumerate(earlier):
            if place >= len(later) or (item != later[place] and id(item) not in found_out):
                self._broken("prefix", f"a request for {ref} does not begin as the one before it (item {place})")
                return

    def _is_resolved(self, call: ToolCall) -> bool:
        recorded = self.windows.ledger.of_nonce.get(nonce_of(call.arguments) or 0)
        return recorded is not None and isinstance(recorded.resolved, CallResolved)

    def _compacted(self, entry: Compacted, written: Written) -> None:
        earlier, self.compacted = self.compacted, entry
        self.compactions += 1
        where = f"record {written.record.seq} ({entry.key})"
        if earlier is not None:
            old, new = self._cleared(earlier), self._cleared(entry)
            if entry.before < earlier.before or (new < old and old[0] >= entry.before):
                self._broken("compaction", f"{where} brings back what was left out: {earlier} {entry}")
        elif written.record.total_tokens > self.windows.settings.budget:
            return  # more is there than is read, whatever is shown of it
        if self.last is not None and self.compactions == 1:
            self._needed(entry, self.last, where)

    def _needed(self, entry: Compacted, last: ModelRequest, where: str) -> None:
        """Check that without it the next request would have been too long; in the background, nearly."""
        overhead = request_tokens(replace(last, items=()), COUNTER)
        size = request_tokens(last, COUNTER) + self.added + _READING + (_REPAIR if last.output is not None else 0)
        if any(_words(answer).startswith(SAME) for _, answer in _calls(last.items)):
            return  # counted as if it stood there in full
        part = self.windows.settings.high_watermark if entry.key.startswith("compact/after/") else 1.0
        room = self.windows.settings.budget - overhead
        if size - overhead <= room * part:
            self._broken("compaction", f"{where} was not needed: {size} of {self.windows.settings.budget} tokens")

    def _cleared(self, entry: Compacted | None) -> tuple[int, int, int]:
        """Return until where results are cleared: the first record of a turn, a step, and a call of it."""
        if entry is None or not entry.cleared_turn:
            return 0, 0, 0
        return self._begun(entry.cleared_turn), entry.cleared_step, entry.cleared_calls

    def _begun(self, name: str) -> int:
        return next((seq for seq, turn in self.turns if turn.turn == name), 0)

    def _broken(self, rule: str, what: str) -> None:
        self.windows.broken(rule, f"{self.place}: {what}")


def _calls(items: Sequence[Item]) -> Iterator[tuple[ToolCall, ToolAnswer]]:
    """Return calls with their answers, which stand in the order of the calls."""
    calls = [item for item in items if isinstance(item, ToolCall)]
    return zip(calls, (item for item in items if isinstance(item, ToolAnswer)), strict=False)


def _words(answer: ToolAnswer) -> str:
    return text_of(answer.content)


def _whole(answer: ToolAnswer, call: CallOnRecord) -> ToolAnswer:
    return answer if call.end is None else replace(answer, content=call.end.content)


def _made_up(turn: TurnOnRecord) -> int:
    """Return the tokens of answers that stand for calls of a turn whose end is not on record, and never will be."""
    calls = [call for call in turn.calls.values() if call.end is None]
    told = ((call.tool, OUTCOME_UNKNOWN if call.intents else NOT_MADE) for call in calls)
    return sum(answer_tokens(tool, (Text(text=words),), COUNTER) for tool, words in told)


def _beginning(text: str) -> str:
    """Return a text up to where it was cut."""
    return text.partition(_CUT)[0]

"""The rules that must hold when a world has come to rest: journals, effects, promises."""

from assistant_kit.entries import Compacted, TurnFinished
from assistant_kit.messages import Outcome
from tests.simulation.ledger import CallOnRecord, Place, TurnOnRecord
from tests.simulation.outside import EFFECTS, Attempt, Outside
from tests.simulation.rules import Rules

_BEHIND = ("compacted", "memories_extracted")
"""Entries that may stand behind the end of a turn, while none is under way."""


class Checker:
    """Looks at everything that a world leaves."""

    def __init__(self, rules: Rules, outside: Outside, books: dict[int, int], *, attempts: int) -> None:
        """Take what was seen, what was done outside, and what the transactions of tools have left.

        `attempts` is after how many a turn has to be parked.
        """
        self._attempts = attempts
        self._rules = rules
        self._ledger = rules.ledger
        self._outside = outside
        self._books = books

    def check(self) -> None:
        """Note each violation."""
        for what in self._ledger.unrecorded:
            self._rules.broken("journal", what)
        for what in self._ledger.unlawful:
            self._rules.broken("lease", what)
        for place in self._ledger.journals:
            self._journal(place)
            self._serial(place)
        self._rules.windows.check()
        self._promises()
        refs: set[str] = set()
        for turn in self._ledger.turns.values():
            if turn.ref in refs:
                self._rules.broken("accepted", f"{turn.ref} was accepted twice")
            refs.add(turn.ref)
            self._turn(turn)
        for ref in self._rules.replies.keys() - refs:
            self._rules.broken("accepted", f"{ref} was answered and is not recorded")
        for nonce in self._outside.attempts.keys() - self._ledger.of_nonce.keys():
            self._never_recorded(nonce)

    def _journal(self, place: Place) -> None:
        known = self._ledger.journals[place]
        stored = self._ledger.read(*place)
        if [record.record_id for record in stored] != [written.record.record_id for written in known]:
            self._rules.broken("journal", f"{place}: records have changed since they were committed")
        if len({record.record_id for record in stored}) != len(stored):
            self._rules.broken("journal", f"{place}: a record id stands twice")
        fence = total = 0
        for seq, record in enumerate(stored, start=1):
            total += record.tokens
            if record.seq != seq or record.total_tokens != total or record.fence < fence:
                self._rules.broken("journal", f"{place}: record {seq} has seq {record.seq}, fence {record.fence}")
            fence = record.fence

    def _serial(self, place: Place) -> None:
        """Check that a turn begins when all before it have ended, and that nothing is added to one that has."""
        running: str | None = None
        ended: set[str] = set()
        for written in self._ledger.journals[place]:
            entry = written.measured.entry
            if entry.kind == "call_resolved" or (running is None and entry.kind in _BEHIND):
                continue
            amid = isinstance(entry, Compacted) and entry.key.startswith("compact/after/")
            if amid or entry.turn in ended or (running is not None and entry.turn != running):
                self._rules.broken("serial", f"{place}: {entry.kind} of {entry.turn} in the middle of {running}")
            running = entry.turn
            if isinstance(entry, TurnFinished) and entry.outcome not in ("waiting", "parked"):
                ended.add(entry.turn)
                running = None

    def _promises(self) -> None:
        for place, write in self._ledger.promised:
            journal = self._ledger.journals.get(place, [])
            there = journal[write.expected_seq : write.expected_seq + len(write.records)]
            if [written.record.record_id for written in there] != [record.record_id for record in write.records]:
                self._rules.broken("acknowledged", f"{place}: a write at {write.expected_seq} was lost")

    def _turn(self, turn: TurnOnRecord) -> None:
        if len(turn.finals) > 1:
            self._rules.broken("one final", f"{turn.ref} has {len(turn.finals)} ends")
        if turn.most_deaths >= self._attempts:
            self._rules.broken("parked", f"{turn.ref} was tried again after {turn.most_deaths} deaths")
        for call in turn.calls.values():
            self._call(turn, call)

    def _call(self, turn: TurnOnRecord, call: CallOnRecord) -> None:
        what = f"{call.tool} {call.nonce} of {turn.ref}"
        if len(call.ends) > 1:
            self._rules.broken("one result", f"{what} has {len(call.ends)} ends")
        if call.ends and any(intent.order > call.ends[0].order for intent in call.intents):
            self._rules.broken("finished", f"{what} was called again after its end was on record")
        if call.end is None and turn.finals and (turn.outcome == "completed" or call.intents):
            closed_by_hand = turn.finals[-1].reason.startswith("closed")
            if not closed_by_hand:
                self._rules.broken("one result", f"{what} has no end, and its turn is {turn.outcome}")
        if call.nonce is not None and call.tool in EFFECTS:
            self._effect(call, call.nonce, what)

    def _effect(self, call: CallOnRecord, nonce: int, what: str) -> None:
        attempts = self._outside.attempts.get(nonce, [])
        applied = sum(attempt.applied for attempt in attempts)
        outcome = None if call.end is None else call.end.outcome
        effect = EFFECTS[call.tool]
        if effect == "once":
            if len(attempts) > 1:
                self._rules.broken("at most once", f"{what} was called {len(attempts)} times")
            self._told(what, outcome, attempts, applied, call)
        elif effect == "transactional":
            self._booked(what, outcome, nonce)
        elif call.tool in ("send", "ship"):
            if applied > 1 and not any(attempt.late_excused for attempt in attempts):
                self._rules.broken("at most once", f"{what} was done {applied} times, by {len(attempts)} calls")
            self._told(what, outcome, attempts, min(applied, 1), call)
        elif call.tool != "ask" and outcome == "ok" and not any(attempt.answer == "ok" for attempt in attempts):
            self._rules.broken("outcome", f"{what} is recorded ok, and no call of it succeeded")

    def _told(
        self, what: str, outcome: Outcome | None, attempts: list[Attempt], applied: int, call: CallOnRecord
    ) -> None:
        answers = {attempt.answer for attempt in attempts}
        if outcome == "ok":
            fits = applied == 1 and ("ok" in answers or call.tool == "wire")
        elif outcome == "error":
            # What failed after it had its effect says so itself: the engine can only pass it on.
            fits = "error" in answers or not attempts
        elif outcome in ("denied", "cancelled"):
            fits = not attempts and applied == 0
        else:
            fits = applied <= 1
        if not fits:
            self._rules.broken("outcome", f"{what} is recorded {outcome}, it was done {applied} times, said {answers}")

    def _booked(self, what: str, outcome: Outcome | None, nonce: int) -> None:
        booked = self._books.get(nonce, 0)
        if booked != (1 if outcome == "ok" else 0):
            self._rules.broken("transaction", f"{what} is recorded {outcome}, and stands {booked} times in the book")

    def _never_recorded(self, nonce: int) -> None:
        attempts = self._outside.attempts[nonce]
        if attempts[0].tool in ("book", "look"):
            if self._books.get(nonce):
                self._rules.broken("transaction", f"call {nonce} stands in the book, and nobody asked for it")
        elif attempts[0].tool != "ask":
            self._rules.broken("intent", f"call {nonce} was made, and nobody's recorded answer asks for it")

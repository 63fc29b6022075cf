"""A conversation as a person reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

from assistant_kit.entries import CallResolved, Measured, ModelResponded, TurnFinished, TurnOutcome, TurnStarted
from assistant_kit.messages import AssistantMessage, Part, text_of
from assistant_kit.run.result import CallResult, calls_of, usage_of
from assistant_kit.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTurn:
    """A turn: what the user said, what was answered, what was called.

    `outcome` is None while the turn is open; `started_at` is in seconds since 1970. `seq` is the place of its first
    record in the journal, and `last_seq` that of its last one: give them to `history(before=…, after=…)`.
    """

    turn: str
    content: tuple[Part, ...]
    text: str
    tool_calls: tuple[CallResult, ...]
    outcome: TurnOutcome | None
    reason: str
    usage: Usage
    started_at: float
    seq: int
    last_seq: int

    @property
    def input(self) -> str:
        """The text of what the user said."""
        return text_of(self.content)


def history_of(entries: Sequence[Measured]) -> tuple[HistoryTurn, ...]:
    """Return the turns that begin among these entries, in the order in which they began."""
    turns: dict[str, list[Measured]] = {}
    for measured in entries:
        if isinstance(measured.entry, TurnStarted):
            turns[measured.entry.turn] = []
        if measured.entry.turn in turns:
            turns[measured.entry.turn].append(measured)
    return tuple(map(_turn, turns.values()))


def _turn(entries: Sequence[Measured]) -> HistoryTurn:
    started = entries[0].entry
    assert isinstance(started, TurnStarted)  # noqa: S101  (history_of begins a turn with it)
    ends = [measured.entry for measured in entries if isinstance(measured.entry, TurnFinished)]
    answers = [m.entry for m in entries if isinstance(m.entry, ModelResponded)]
    last = answers[-1].items if answers else ()
    return HistoryTurn(
        turn=started.turn,
        content=started.input.content,
        text="".join(item.refusal or item.text for item in last if isinstance(item, AssistantMessage)),
        tool_calls=calls_of(entries),
        outcome=ends[-1].outcome if ends else None,
        reason=ends[-1].reason if ends else "",
        usage=usage_of(entries),
        started_at=entries[0].at,
        seq=entries[0].seq,
        # What was found out about a call may stand behind later turns.
        last_seq=max(measured.seq for measured in entries if not isinstance(measured.entry, CallResolved)),
    )

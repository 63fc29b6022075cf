"""A conversation as a person reads it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from assistant_kit.entries import CallResolved, Measured, ModelResponded, TurnFinished, TurnOutcome, TurnStarted
from assistant_kit.messages import AssistantMessage, OutputItem, Part, ToolCall, text_of
from assistant_kit.run.result import CallResult, calls_of, usage_of
from assistant_kit.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStep:
    """An answer of the model within a turn: what it said, and the tool calls that it asked for behind that."""

    text: str
    tool_calls: tuple[CallResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTurn:
    """A turn: what the user said, what was answered, what was called.

    `text` is the last answer, `tool_calls` are the calls of all `steps`. `steps` has what was said and called in the
    order in which it came, without answers that were taken back. `request_id` is that of the run, if it was given one.
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
    request_id: str | None = None
    steps: tuple[HistoryStep, ...] = ()

    @property
    def input(self) -> str:
        """The text of what the user said."""
        return text_of(self.content)

    def with_calls(self, calls: Sequence[CallResult]) -> "HistoryTurn":
        """Return the turn with others in the place of its calls, as many, in the same order."""
        left = iter(calls)
        steps = [replace(step, tool_calls=tuple(islice(left, len(step.tool_calls)))) for step in self.steps]
        return replace(self, tool_calls=tuple(calls), steps=tuple(steps))


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
    calls = calls_of(entries)
    return HistoryTurn(
        turn=started.turn,
        content=started.input.content,
        text=_said(answers[-1].items) if answers else "",
        tool_calls=calls,
        outcome=ends[-1].outcome if ends else None,
        reason=ends[-1].reason if ends else "",
        usage=usage_of(entries),
        started_at=entries[0].at,
        seq=entries[0].seq,
        # What was found out about a call may stand behind later turns.
        last_seq=max(measured.seq for measured in entries if not isinstance(measured.entry, CallResolved)),
        request_id=started.request_id,
        steps=_steps(answers, calls),
    )


def _steps(answers: Sequence[ModelResponded], calls: Sequence[CallResult]) -> tuple[HistoryStep, ...]:
    left = iter(calls)
    steps = [
        HistoryStep(text=_said(answer.items), tool_calls=tuple(islice(left, _asked(answer.items))))
        for answer in answers
    ]
    # What the run told the model before an answer is that the one before was not accepted: the reader saw it vanish.
    is_gone = [later.prompt is not None for later in answers[1:]] + [False]
    return tuple(step for step, gone in zip(steps, is_gone, strict=False) if step.tool_calls or not gone)


def _said(items: Sequence[OutputItem]) -> str:
    return "".join(item.refusal or item.text for item in items if isinstance(item, AssistantMessage))


def _asked(items: Sequence[OutputItem]) -> int:
    return sum(isinstance(item, ToolCall) for item in items)

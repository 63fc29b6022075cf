"""A journal as messages: entries become turns, turns are made of blocks, and a block is never parted.

A journal may hold anything: its front is cut off because only a tail was read, a worker died between two entries, a
tool's end was recorded that nobody asked for. Whatever it holds, every call in the messages is answered exactly once,
directly after the model's answer that made it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import TypeAlias

from assistant_kit.entries import (
    CallResolved,
    Compacted,
    Entry,
    Measured,
    MemoriesRecalled,
    ModelResponded,
    Summary,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.messages import Outcome, OutputItem, Reasoning, Text, ToolAnswer, ToolCall, UserMessage
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import answer_tokens, message_tokens, output_tokens, text_tokens
from assistant_kit.turns import Answered, Block, Step, ToolCost, Turn

OUTCOME_UNKNOWN = (
    "The outcome of this call is unknown: it was started and the record of its end is missing. "
    "Do not assume that it did or did not happen."
)
NOT_MADE = "This call was not made."
_SUMMARY = "[Summary of an earlier part of this conversation]\n{text}"

_Place: TypeAlias = tuple[str, str]
"""A call of an answer: its id, and its key, `step.index`."""


def tokens_of(entry: Entry, counter: TokenCounter) -> int:
    """Return the tokens that an entry adds to a request: an upper bound, framing included."""
    match entry:
        case TurnStarted():
            return message_tokens(entry.input.content, counter)
        case MemoriesRecalled():
            return message_tokens(entry.message.content, counter)
        case Compacted():
            return sum(message_tokens(summary_message(summary).content, counter) for summary in entry.summaries)
        case ModelResponded():
            prompt = 0 if entry.prompt is None else text_tokens(entry.prompt.text, counter)
            return prompt + output_tokens(entry.items, counter, reasoning_tokens=entry.usage.reasoning_tokens)
        case ToolFinished() | CallResolved():
            return answer_tokens(entry.tool, entry.content, counter)
        case _:
            return 0


def measure(entry: Entry, counter: TokenCounter) -> Measured:
    """Return an entry with its tokens and the name of the counter, ready to be recorded."""
    return Measured(entry=entry, tokens=tokens_of(entry, counter), counted_by=counter.name)


def turns_of(entries: Iterable[Measured], counter: TokenCounter, *, whole: bool = True) -> tuple[Turn, ...]:
    """Return the turns of a journal or of its tail, in the order in which they began.

    A stored count is used when it was made by a counter of this name; otherwise the entry is counted again. A turn
    whose front is missing is left out, unless `whole` is false.
    """
    of_turn: dict[str, list[Measured]] = {}
    resolved: dict[tuple[str, str], Measured] = {}
    for measured in entries:
        of_turn.setdefault(measured.entry.turn, []).append(measured)
        if isinstance(measured.entry, CallResolved):
            resolved[measured.entry.turn, measured.entry.key] = measured
    turns = (extended(Turn(turn=name), _told(group, resolved), counter) for name, group in of_turn.items())
    return tuple(turn for turn in turns if turn.blocks and (turn.started is not None or not whole))


def _told(entries: Sequence[Measured], resolved: Mapping[tuple[str, str], Measured]) -> Iterable[Measured]:
    """Return entries with what was found out later about a call in the place where it was recorded as unknown."""
    if not resolved:
        return entries
    return (_resolution(measured, resolved) or measured for measured in entries)


def _resolution(measured: Measured, resolved: Mapping[tuple[str, str], Measured]) -> Measured | None:
    end = measured.entry
    if not isinstance(end, ToolFinished) or (found := resolved.get((end.turn, end.key))) is None:
        return None
    found_out = found.entry
    assert isinstance(found_out, CallResolved)  # noqa: S101  (turns_of sorts by type)
    told = replace(end, outcome=found_out.outcome, content=found_out.content)
    return replace(measured, entry=told, tokens=found.tokens, counted_by=found.counted_by)


def summary_message(summary: Summary) -> UserMessage:
    """Return a summary as the model reads it: as something that was said, with no authority of its own."""
    return UserMessage(content=(Text(text=_SUMMARY.format(text=summary.text)),))


def said_before(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return the turns that later requests show: all but those that failed before any answer.

    What a provider has refused once it would refuse in every later request, too; and who got an error instead of an
    answer says it again.
    """
    return tuple(turn for turn in turns if len(turn.blocks) > 1 or not _failed(turn))


def _failed(turn: Turn) -> bool:
    return turn.finished is not None and turn.finished.outcome == "failed"


def extended(turn: Turn, entries: Iterable[Measured], counter: TokenCounter) -> Turn:
    """Return the turn with further entries of it.

    What stands before the last block stays as it is, and so do the items in it, with the wire forms they remember: a
    run extends its turn step by step and serialises nothing twice. Entries of other turns are passed over.
    """
    growing = _Growing(turn, counter)
    for measured in entries:
        if measured.entry.turn == turn.turn:
            growing.add(measured)
    return growing.turn()


class _Growing:
    """A turn while entries are added to it."""

    def __init__(self, turn: Turn, counter: TokenCounter) -> None:
        self._counter = counter
        self._counted_by = counter.name
        self._name = turn.turn
        self._started = turn.started
        self._finished = turn.finished
        self._seq = turn.seq
        self._recalled = turn.recalled
        self._blocks = list(turn.blocks)
        self._response: ModelResponded | None = None
        self._tokens = 0
        self._begun: list[str] = []
        self._ended: list[Answered] = []
        if turn.step is not None:
            self._blocks.pop()
            self._response, self._tokens = turn.step.response, turn.step.tokens
            self._begun += turn.step.started
            self._ended += turn.step.answers

    def add(self, measured: Measured) -> None:
        """Take in the next entry."""
        match measured.entry:
            case ModelResponded() as entry:
                self._close()
                self._response, self._tokens = entry, self._count(measured)
            case ToolStarted() as entry:
                self._begun.append(entry.call_id)
            case ToolFinished() as entry:
                item = ToolAnswer(call_id=entry.call_id, outcome=entry.outcome, content=entry.content)
                tokens = self._count(measured)
                kept = bool(entry.kept)
                self._ended.append(Answered(key=entry.key, tool=entry.tool, item=item, tokens=tokens, kept=kept))
            case TurnStarted() as entry if not self._blocks and self._response is None:
                self._started = entry
                self._seq = measured.seq
                self._blocks.append(Block(items=(entry.input,), tokens=self._count(measured)))
            case MemoriesRecalled() as entry if self._started is not None and self._response is None:
                self._recalled = entry.memories
                asked = self._blocks.pop()
                tokens = asked.tokens + self._count(measured)
                self._blocks.append(Block(items=(entry.message, *asked.items), tokens=tokens))
            case TurnFinished() as entry:
                self._finished = entry
            case _:
                pass

    def turn(self) -> Turn:
        """Return what the entries so far amount to."""
        step = self._close()
        return Turn(
            turn=self._name,
            blocks=tuple(self._blocks),
            tokens=sum(block.tokens for block in self._blocks),
            started=self._started,
            finished=self._finished,
            step=step,
            seq=self._seq,
            recalled=self._recalled,
        )

    def _close(self) -> Step | None:
        """Turn the newest answer and the calls recorded after it into a block; drop calls that no answer asked for."""
        step = None
        if self._response is not None:
            begun, ended = tuple(self._begun), tuple(self._ended)
            step = Step(response=self._response, tokens=self._tokens, started=begun, answers=ended)
            self._blocks.append(_block_of(step, self._counter))
        self._response = None
        self._begun.clear()
        self._ended.clear()
        return step

    def _count(self, measured: Measured) -> int:
        if measured.counted_by == self._counted_by:
            return measured.tokens
        return tokens_of(measured.entry, self._counter)


def _block_of(step: Step, counter: TokenCounter) -> Block:
    response = step.response
    prompt = () if response.prompt is None else (response.prompt,)
    items = _told_apart(_replayable(response.items))
    calls = [item for item in items if isinstance(item, ToolCall)]
    answers = _answers(step, calls, counter) if calls else []
    return Block(
        items=(*prompt, *items, *(answer.item for answer in answers)),
        tokens=step.tokens + sum(answer.tokens for answer in answers),
        results=tuple(ToolCost(tool=a.tool, tokens=a.tokens, key=a.key, kept=a.kept) for a in answers),
    )


def _replayable(items: Sequence[OutputItem]) -> tuple[OutputItem, ...]:
    """Leave out reasoning that nothing follows: the Responses API refuses it when it is sent back."""
    end = len(items)
    while end and isinstance(items[end - 1], Reasoning):
        end -= 1
    return tuple(items[:end])


def _told_apart(items: tuple[OutputItem, ...]) -> tuple[OutputItem, ...]:
    """Give a call another id where one before it has the same: who reads them could not tell their answers apart.

    Runs see to that before they record an answer; a journal from elsewhere may hold anything.
    """
    ids = [item.call_id for item in items if isinstance(item, ToolCall)]
    taken = set(ids)
    if len(taken) == len(ids):
        return items
    seen: set[str] = set()
    named: list[OutputItem] = []
    for item in items:
        if isinstance(item, ToolCall):
            if item.call_id in seen:
                free = next(name for n in count(2) if (name := f"{item.call_id}_{n}") not in taken)
                item = replace(item, call_id=free, raw=None)  # noqa: PLW2901  (the named twin)
                taken.add(free)
            seen.add(item.call_id)
        named.append(item)
    return tuple(named)


def _answers(step: Step, calls: Sequence[ToolCall], counter: TokenCounter) -> list[Answered]:
    """Return one answer for each call, in the order of the calls; where none is recorded, one that says so.

    `calls` are those of the recorded response, in their order, under ids that differ. Where two had the same id, the
    recorded key, `step.index`, tells them apart.
    """
    by_id = {answer.item.call_id: answer for answer in step.answers}
    if len(by_id) == len(calls) == len(step.answers) and all(call.call_id in by_id for call in calls):
        return [_of(call, by_id[call.call_id], counter) for call in calls]
    asked = [item.call_id for item in step.response.items if isinstance(item, ToolCall)]
    places = [(call_id, f"{step.response.step}.{index}") for index, call_id in enumerate(asked)]
    left = list(step.answers)
    answers: list[Answered] = []
    for call, place in zip(calls, places, strict=True):
        answer = _recorded(left, place, places)
        if answer is None:
            answers.append(_made_up(call, started=place[0] in step.started, counter=counter))
        else:
            left.remove(answer)
            answers.append(_of(call, answer, counter))
    return answers


def _recorded(answers: Sequence[Answered], place: _Place, places: Sequence[_Place]) -> Answered | None:
    """Return the answer to the call at this place, of an id and a key; None if there is none.

    An answer of this id under a key that no call has is taken, too.
    """
    ours = [answer for answer in answers if answer.item.call_id == place[0]]
    exact = (answer for answer in ours if answer.key == place[1])
    stray = (answer for answer in ours if (place[0], answer.key) not in places)
    return next(chain(exact, stray), None)


def _of(call: ToolCall, answer: Answered, counter: TokenCounter) -> Answered:
    """Return the answer under the id and the name of the call, by which the model reads it."""
    if answer.item.call_id != call.call_id:
        answer = replace(answer, item=replace(answer.item, call_id=call.call_id))
    if answer.tool == call.name:
        return answer
    return replace(answer, tool=call.name, tokens=answer_tokens(call.name, answer.item.content, counter))


def _made_up(call: ToolCall, *, started: bool, counter: TokenCounter) -> Answered:
    outcome: Outcome = "unknown" if started else "cancelled"
    content = (Text(text=OUTCOME_UNKNOWN if started else NOT_MADE),)
    item = ToolAnswer(call_id=call.call_id, outcome=outcome, content=content)
    return Answered(key="", tool=call.name, item=item, tokens=answer_tokens(call.name, content, counter))

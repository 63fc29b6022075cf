"""What a model is shown of a conversation: which turns, behind which summaries, with which tool results cleared.

In a turn in which anything is cleared, answers that were not accepted are left out, too: what was wrong with one stands
in the prompt behind it.

The journal keeps everything. What is shown of it follows from its entries alone: from the newest `Compacted` on, each
turn is shown as it was shown before, so that requests begin with the same bytes until the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import starmap, zip_longest
from typing import TypeAlias

from assistant_kit.conversation import summary_message
from assistant_kit.entries import Compacted
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    Part,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import answer_tokens, message_tokens, output_tokens
from assistant_kit.turns import Block, ToolCost, Turn

WORTH_SHORTENING = 96
"""Tokens of a tool result from which on it may be cleared: a line in its place takes about half."""
WORTH_SHARING = 400
"""Characters of a tool result from which on it is shown once only: a model has to look for what a line refers to."""

_CLEARED = '[This result was cleared to make room. read_result("{handle}") reads it again.]'
LEFT_OUT = "[This answer is left out to make room: it did not fit the required format.]"
SAME_RESULT = "[The same result as that of the earlier call with these arguments, above.]"

Place: TypeAlias = tuple[int, int]
"""A call of a turn: its step, and its index in the step."""
NOWHERE: Place = (0, 0)
"""Before this place, nothing is cleared."""

_Told: TypeAlias = tuple[str, str, tuple[Part, ...]]
"""A result that was shown: of which tool, with which arguments, and what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a request shows of a conversation, before the turn in progress.

    `turns` are as they are recorded and `shown` as the model reads them, both the oldest first; `summaries` stand
    before them. `compacted` is what decided on that; None for a conversation that was never compacted. `cut` says that
    older turns exist which are neither shown nor left out by it, and `now` names the turn in progress, if there is one.
    `refers` tells that something in it can be read in
    full by `read_result`. `tokens` is the sum of all that is shown, and `full` what that would be if no result referred
    to an earlier one: the size that decides when room has to be made, as it is the same however the view came about.
    """

    turns: tuple[Turn, ...] = ()
    shown: tuple[Turn, ...] = ()
    summaries: Block = field(default_factory=lambda: Block(items=(), tokens=0))
    compacted: Compacted | None = None
    cut: bool = False
    now: str = ""
    refers: bool = False
    tokens: int = 0
    full: int = 0
    told: Mapping[_Told, None] = field(default_factory=dict[_Told, None])

    @property
    def items(self) -> Iterable[Item]:
        """What stands before the turn in progress."""
        yield from self.summaries.items
        for turn in self.shown:
            for block in turn.blocks:
                yield from block.items


def view_of(
    turns: Sequence[Turn],
    counter: TokenCounter,
    *,
    compacted: Compacted | None = None,
    cut: bool = False,
    now: str = "",
) -> View:
    """Return what is shown of these turns, the newest of a conversation, in or before the turn `now`."""
    clears = compacted is not None and bool(compacted.cleared_turn)
    view = View(compacted=compacted, cut=cut, now=now, refers=clears)
    if compacted is not None:
        turns = [turn for turn in turns if turn.seq >= compacted.before]
        summaries = _summaries(compacted, counter)
        view = replace(view, summaries=summaries, tokens=summaries.tokens, full=summaries.tokens)
    return continued(view, turns, counter)


def continued(view: View, turns: Iterable[Turn], counter: TokenCounter) -> View:
    """Return the view with further turns behind it."""
    told = dict(view.told)
    later = tuple(turns)
    clearing = _clearing(view, (*view.turns, *later))
    shown = tuple(_shown(turn, counter, told, clearing.get(turn.turn, NOWHERE)) for turn in later)
    full = (_shown(turn, counter, None, clearing.get(turn.turn, NOWHERE)) for turn in later)
    return replace(
        view,
        turns=(*view.turns, *later),
        shown=(*view.shown, *shown),
        refers=view.refers or any(map(refers, shown)),
        tokens=view.tokens + sum(turn.tokens for turn in shown),
        full=view.full + sum(turn.tokens for turn in full),
        told=told,
    )


def in_progress(view: View, turn: Turn, counter: TokenCounter) -> Turn:
    """Return the turn in progress as the model reads it behind this view."""
    clearing = _clearing(view, (*view.turns, turn))
    return _shown(turn, counter, dict(view.told), clearing.get(turn.turn, NOWHERE))


def alone(view: View, counter: TokenCounter) -> tuple[Turn, ...]:
    """Return the turns of a view as each would be shown if none stood before it: no result refers to an earlier one.

    So no choice among them takes more tokens than theirs together.
    """
    clearing = _clearing(view, view.turns)
    return tuple(_shown(turn, counter, None, clearing.get(turn.turn, NOWHERE)) for turn in view.turns)


def refers(turn: Turn) -> bool:
    """Tell whether a turn has a result of which only a part is shown."""
    return any(result.kept for block in turn.blocks for result in block.results)


def followed_by(turn: Turn, extra: Iterable[Block]) -> Turn:
    """Return the turn with further blocks behind it."""
    blocks = (*turn.blocks, *extra)
    return replace(turn, blocks=blocks, tokens=sum(block.tokens for block in blocks))


def cleared(turn: Turn, counter: TokenCounter, *, before: Place | None = None) -> Turn:
    """Return the turn with the overlong tool results of calls before this place cleared; without it, of all calls.

    From step 1 on, answers that were not accepted are left out, wherever they stand in the turn.
    """
    return _shown(turn, counter, None, _ALL if before is None else before)


def place_of(key: str) -> Place:
    """Return the place of the call that has this key."""
    step, _, index = key.partition(".")
    return int(step), int(index)


_ALL: Place = (1 << 62, 0)


def _clearing(view: View, turns: Sequence[Turn]) -> Mapping[str, Place]:
    """Return, by turn, the place before which results are cleared.

    Nothing is, when the turn named has left the window; everything before it is, when it is the one in progress.
    """
    compacted = view.compacted
    if compacted is None or not compacted.cleared_turn:
        return {}
    names = [turn.turn for turn in turns]
    if compacted.cleared_turn not in names:
        return dict.fromkeys(names, _ALL) if compacted.cleared_turn == view.now else {}
    place = names.index(compacted.cleared_turn)
    until = (compacted.cleared_step, compacted.cleared_calls)
    return {**dict.fromkeys(names[:place], _ALL), compacted.cleared_turn: until}


def _summaries(compacted: Compacted, counter: TokenCounter) -> Block:
    messages = [summary_message(summary) for summary in compacted.summaries]
    tokens = sum(message_tokens(message.content, counter) for message in messages)
    return Block(items=tuple(messages), tokens=tokens)


def _shown(turn: Turn, counter: TokenCounter, told: dict[_Told, None] | None, clear_before: Place) -> Turn:
    """Return a turn as the model reads it; blocks that stay as they are stay the same objects.

    Without `told`, every result that is not cleared is shown in full.
    """
    if not clear_before[0] and not any(block.results for block in turn.blocks):
        return turn
    blocks = tuple(_shown_block(turn.turn, block, counter, told, clear_before) for block in turn.blocks)
    if clear_before[0]:
        blocks = tuple(starmap(partial(_accepted, counter), zip_longest(blocks, blocks[1:])))
    if all(map(_is, blocks, turn.blocks)):
        return turn
    return replace(turn, blocks=blocks, tokens=sum(block.tokens for block in blocks))


def _accepted(counter: TokenCounter, block: Block, following: Block | None) -> Block:
    """Return the block, or a line in its place if it is an answer that the model was told to give again."""
    if following is None or not isinstance(next(iter(following.items), None), DeveloperMessage):
        return block
    if any(isinstance(item, UserMessage | DeveloperMessage | ToolCall) for item in block.items):
        return block
    instead = (AssistantMessage(text=LEFT_OUT),)
    tokens = output_tokens(instead, counter)
    return Block(items=instead, tokens=tokens) if tokens < block.tokens else block


def _shown_block(
    turn: str, block: Block, counter: TokenCounter, told: dict[_Told, None] | None, clear_before: Place
) -> Block:
    if all(result.tokens < WORTH_SHORTENING for result in block.results):
        return block
    calls = {item.call_id: item for item in block.items if isinstance(item, ToolCall)}
    results = iter(block.results)
    items: list[Item] = []
    costs: list[ToolCost] = []
    for item in block.items:
        if isinstance(item, ToolAnswer):
            cost = next(results)
            words = _instead(turn, cost, item, calls.get(item.call_id), told, clear_before)
            if words is not None:
                content = (Text(text=words),)
                shorter = answer_tokens(cost.tool, content, counter)
                if shorter < cost.tokens:
                    item, cost = replace(item, content=content), replace(cost, tokens=shorter)  # noqa: PLW2901
            costs.append(cost)
        items.append(item)
    saved = sum(cost.tokens for cost in block.results) - sum(cost.tokens for cost in costs)
    return replace(block, items=tuple(items), results=tuple(costs), tokens=block.tokens - saved) if saved else block


def _instead(
    turn: str,
    cost: ToolCost,
    item: ToolAnswer,
    call: ToolCall | None,
    told: dict[_Told, None] | None,
    clear_before: Place,
) -> str | None:
    """Return the line that stands in for a result; None where it is shown."""
    if cost.tokens < WORTH_SHORTENING or not cost.key:
        return None
    if place_of(cost.key) < clear_before:
        return _CLEARED.format(handle=f"{turn}/{cost.key}")
    if told is not None and call is not None and item.outcome == "ok" and _is_worth_sharing(item):
        one = (cost.tool, call.arguments, item.content)
        if one in told:
            return SAME_RESULT
        told[one] = None
    return None


def _is_worth_sharing(answer: ToolAnswer) -> bool:
    return sum(len(part.text) for part in answer.content if isinstance(part, Text)) >= WORTH_SHARING


def _is(one: object, other: object) -> bool:
    return one is other

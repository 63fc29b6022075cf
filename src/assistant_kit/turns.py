"""Turns as messages: what of a conversation goes into a request, in pieces that are never parted."""

from dataclasses import dataclass

from assistant_kit.entries import ModelResponded, TurnFinished, TurnStarted
from assistant_kit.messages import Item, ToolAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCost:
    """What the answer of one tool call costs, in tokens.

    `key` is `step.index` of the call; empty for a made-up answer. `kept` tells that it is a part of a longer text.
    """

    tool: str
    tokens: int
    key: str = ""
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Messages that must not be parted, and their tokens.

    A user's message, with what was recalled for it; or an answer of the model, with what it was told just before and
    the answers to all its calls. `results` has one entry for each ToolAnswer in `items`, in their order.
    """

    items: tuple[Item, ...]
    tokens: int
    results: tuple[ToolCost, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The recorded end of a call, as the model reads it."""

    key: str
    tool: str
    item: ToolAnswer
    tokens: int
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The newest answer of a model in a turn, and what became of its calls so far."""

    response: ModelResponded
    tokens: int
    started: tuple[str, ...] = ()
    answers: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn as messages. `blocks` are in order, `tokens` is their sum.

    `started` is None when the front of the turn was cut off; `finished` is the newest record of an end or a pause.
    `step` belongs to the last block, which grows when the answers of its calls are recorded. `seq` is the place of its
    first record in the journal; 0 while it is not stored. `recalled` are the ids of the memories that were shown in it.
    """

    turn: str
    blocks: tuple[Block, ...] = ()
    tokens: int = 0
    started: TurnStarted | None = None
    finished: TurnFinished | None = None
    step: Step | None = None
    seq: int = 0
    recalled: tuple[str, ...] = ()

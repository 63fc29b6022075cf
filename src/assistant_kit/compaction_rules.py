"""What of a crowded window is kept: the newest whole turns, and the newest summaries before them."""

from collections.abc import Sequence

from assistant_kit.conversation import summary_message
from assistant_kit.entries import Summary
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import message_tokens
from assistant_kit.view import cleared

DROPPED = "drop the oldest turns"
SUMMARIES = 4
"""Summaries that are there already keep at most this part of the room: a quarter."""


def keep_newest(window: Crowded, *, strategy: str = DROPPED) -> Compaction:
    """Keep the summaries that are there, in a quarter of the target, and the newest whole turns that fit beside them.

    The newest turn is kept even above the target, as long as it can be sent: what is said next mostly refers to it.
    """
    summaries = newest_summaries(window.summaries, window.target // SUMMARIES, window.counter)
    room = window.target - summaries_tokens(summaries, window.counter)
    keep = 0
    for turn in reversed(window.turns):
        if turn.tokens > room:
            break
        room -= turn.tokens
        keep += 1
    beside = window.limit - summaries_tokens(summaries, window.counter)
    if not keep and window.turns and window.turns[-1].tokens <= beside:
        keep = 1
    return Compaction(keep=keep, summaries=summaries, strategy=strategy)


def newest_summaries(summaries: Sequence[Summary], tokens: int, counter: TokenCounter) -> tuple[Summary, ...]:
    """Return the newest summaries that take at most so many tokens together."""
    kept = len(summaries)
    while kept and (needed := summaries_tokens(summaries[kept - 1 : kept], counter)) <= tokens:
        tokens -= needed
        kept -= 1
    return tuple(summaries[kept:])


def summaries_tokens(summaries: Sequence[Summary], counter: TokenCounter) -> int:
    """Return the tokens of summaries as the model reads them."""
    return sum(message_tokens(summary_message(summary).content, counter) for summary in summaries)


def tokens_after(compaction: Compaction, window: Crowded) -> int:
    """Return the tokens of what a compaction leaves."""
    kept = window.turns[len(window.turns) - compaction.keep :]
    for_turns = sum(
        (cleared(turn, window.counter) if place < compaction.clear else turn).tokens for place, turn in enumerate(kept)
    )
    return for_turns + summaries_tokens(compaction.summaries, window.counter)


def fits(compaction: Compaction, window: Crowded) -> bool:
    """Tell whether what a compaction leaves is possible, and can be sent."""
    possible = 0 <= compaction.clear <= compaction.keep <= len(window.turns)
    return possible and tokens_after(compaction, window) <= window.limit

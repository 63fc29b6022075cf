"""Room in the context window: what is shown less of when a conversation has grown too long, and the record of it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from assistant_kit.compaction_rules import fits, keep_newest
from assistant_kit.context_window import too_long
from assistant_kit.entries import Compacted, Measured
from assistant_kit.errors import AssistantKitError
from assistant_kit.events import ContextCompacted
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.run.masking import Masks, log_failure
from assistant_kit.run.turn import Circumstances, Past, TurnRun
from assistant_kit.turns import Block, Turn
from assistant_kit.usage import Usage
from assistant_kit.view import NOWHERE, Place, View, alone, cleared, followed_by, place_of

_log = logging.getLogger("assistant_kit.run")


async def make_room(run: TurnRun, key: str, step: int, *extra: Block) -> None:
    """See to it that the request of a step fits, and record under `key` what is left out of it. Raises CannotFit.

    As long as everything fits, nothing changes: requests go on where the last one ended.
    """
    view = run.past.view
    room = run.about.window.room(run.overhead)
    current = run.shown(*extra)
    if not view.cut and view.full + current.tokens <= room:
        return

    async def decide() -> Measured:
        run.during = "making room in the context window"
        # What is cleared can be read again: by a tool that takes room itself, if it is not on offer yet.
        beside = run.reader_tokens
        clear_before, current_tokens = _cleared_until(run, step, room, beside, *extra)
        compaction = None
        if view.cut or view.full + current_tokens > room - (beside if clear_before > NOWHERE else 0):
            limit = max(0, room - beside - current_tokens)
            target = max(0, int(room * run.parts.settings.window.low_watermark) - current_tokens)
            crowded = _crowded(run.about, run.past, target=min(target, limit), limit=limit)
            # Where the compactor has no answer, the oldest turns are dropped.
            compaction = await _asked(run.about, crowded) or keep_newest(crowded)
        entry = compacted(run.past, compaction, turn=run.id, key=key)
        if clear_before > NOWHERE:
            until, calls = clear_before
            entry = replace(entry, cleared_turn=run.id, cleared_step=until, cleared_calls=calls)
        return run.measure(entry)

    run.compacted(await run.runtime.step(key, decide))
    _tell(run, view)


async def asked(about: Circumstances, past: Past, *, target: int, limit: int) -> Compaction | None:
    """Ask the compactor what to show of the past; return None where it has no answer that fits."""
    return await _asked(about, _crowded(about, past, target=target, limit=limit))


def _crowded(about: Circumstances, past: Past, *, target: int, limit: int) -> Crowded:
    return Crowded(
        summaries=() if past.view.compacted is None else past.view.compacted.summaries,
        turns=alone(past.view, about.counter),
        target=target,
        limit=limit,
        counter=about.counter,
        model=about.parts.model,
        earlier=past.earlier,
        deadline=about.deadline,
    )


async def _asked(about: Circumstances, crowded: Crowded) -> Compaction | None:
    try:
        compaction = await about.compactor.compact(crowded)
    except AssistantKitError as error:
        words = about.logged(error)
        _log.warning("the conversation %r is not compacted as it should be: %s", about.conversation, words)
        return None
    except Exception as error:  # noqa: BLE001  (a compactor's mistake must not cost the turn)
        words = "the conversation %r is not compacted as it should be"
        log_failure(_log, error, about.masks, words, about.conversation)
        return None
    if compaction is not None and about.masks is not None:
        compaction = await _masked(compaction, about.masks)
    if compaction is not None and not fits(compaction, crowded):
        _log.warning("what compactor %r keeps of %r does not fit", compaction.strategy, about.conversation)
        return None
    return compaction


async def _masked(compaction: Compaction, masks: Masks) -> Compaction:
    texts = await masks.from_model([summary.text for summary in compaction.summaries])
    masked = [replace(summary, text=text) for summary, text in zip(compaction.summaries, texts, strict=True)]
    return replace(compaction, summaries=masked)


def compacted(past: Past, compaction: Compaction | None, *, turn: str, key: str) -> Compacted:
    """Return the record of what is shown of the past from now on; without a compaction, what was shown before."""
    earlier = past.view.compacted
    # Also when nothing is left out: a window whose results were cleared holds more turns than their records would fill.
    first = past.view.turns[0].seq if past.view.turns else past.seq
    entry = Compacted(turn=turn, key=key, before=first, strategy="clear results of this turn", usage=Usage())
    if earlier is not None:
        entry = replace(earlier, turn=turn, key=key, strategy=entry.strategy, model="", usage=Usage())
    if compaction is None:
        return entry
    kept = past.view.turns[len(past.view.turns) - compaction.keep :]
    to = _cleared_to(entry, kept, compaction.clear, after=turn, refers=past.view.refers)
    stays = to == entry.cleared_turn
    return replace(
        entry,
        before=kept[0].seq if kept else past.seq,
        summaries=tuple(compaction.summaries),
        cleared_turn=to,
        cleared_step=entry.cleared_step if stays else 0,
        cleared_calls=entry.cleared_calls if stays else 0,
        strategy=compaction.strategy,
        model=compaction.model,
        usage=compaction.usage,
    )


def _cleared_to(earlier: Compacted, kept: Sequence[Turn], clear: int, *, after: str, refers: bool) -> str:
    """Return the turn before which results are cleared: what was cleared stays so.

    Where anything could be read again, a turn is named also when no result stands before it: so the tool for that stays
    on offer, and later requests do not begin otherwise because it is gone, or has come back.
    """
    names = [*(turn.turn for turn in kept), after]
    already = names.index(earlier.cleared_turn) if earlier.cleared_turn in names else 0
    return names[max(clear, already)] if max(clear, already) or refers else ""


def _cleared_until(run: TurnRun, step: int, room: int, reader: int, *extra: Block) -> tuple[Place, int]:
    """Return the place in this turn before which results have to be cleared, and the tokens of the turn then.

    `reader` is what the tool takes that reads them again.

    That is done only when the turn does not fit by itself, and then for many steps at once: down to the low watermark
    if that is possible. An answer that was not accepted goes first. The newest results go last, and one by one: the
    model has not read them yet, or has to answer from them again.
    """
    current = followed_by(run.current, extra)
    entry = run.past.view.compacted
    place = NOWHERE
    if entry is not None and entry.cleared_turn == run.id:
        place = (entry.cleared_step, entry.cleared_calls)
    left = cleared(current, run.about.counter, before=place)
    if left.tokens <= room:
        return place, left.tokens
    room -= reader
    low = int(room * run.parts.settings.window.low_watermark)
    newest = _newest_results(current)
    for further in _places(newest, step, after=place):
        place, left = further, cleared(current, run.about.counter, before=further)
        if left.tokens <= low or (further >= (newest[0], 0) and left.tokens <= room):
            break
    if left.tokens > room:
        blocks = tuple(replace(block, results=()) for block in left.blocks)  # what is cleared is not to blame
        raise too_long(replace(left, blocks=blocks), room=room)
    return place, left.tokens


def _newest_results(turn: Turn) -> Place:
    """Return the last call that has a result."""
    keys = (result.key for block in turn.blocks for result in block.results if result.key)
    return max(map(place_of, keys), default=NOWHERE)


def _places(newest: Place, step: int, *, after: Place) -> Iterator[Place]:
    """Return up to where results may be cleared: step by step, and call by call in the newest step that has any."""
    for before in range(1, step + 1):
        calls = newest[1] + 1 if before == newest[0] else 1
        yield from ((before, call) for call in range(calls) if (before, call) > after)


def _tell(run: TurnRun, before: View) -> None:
    after = run.past.view
    entry = after.compacted
    assert entry is not None  # noqa: S101  (just recorded)
    run.tell(
        ContextCompacted(
            strategy=entry.strategy,
            dropped_turns=len(before.turns) - len(after.turns),
            tokens_before=before.tokens,
            tokens_after=after.tokens,
        )
    )

"""Bugs of the context window: what is shown of a conversation, and what is recorded of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assistant_kit import afterwards
from assistant_kit.context_window import Packed, Window
from assistant_kit.entries import Compacted
from assistant_kit.run import long_results, loop, room
from assistant_kit.run.turn import Past
from assistant_kit.run.view_cache import KeptView, ViewCache
from assistant_kit.runtimes.ephemeral import Ephemeral
from assistant_kit.session import Holding, Session
from assistant_kit.turns import Block
from assistant_kit.view import View
from tests.simulation.mutants.planting import Swap, always, always_soon, mutant, of


@mutant
def kept_view_believed_after_others_wrote() -> Sequence[Swap]:
    """What a process remembers of a conversation is taken for what stands there, whoever has written meanwhile."""

    def take(self: Any, user: str, conversation: str, **_: object) -> KeptView | None:
        return self._kept.get((user, conversation))

    return [(ViewCache, "take", take), (KeptView, "stands", always(value=True))]


@mutant
def compaction_of_a_dead_worker_ignored() -> Sequence[Swap]:
    """Who goes on with a turn does not look for room that was made in it."""
    read = of(Session, "past")

    async def past(self: Session, before: int, *, fence: int | None = None, recorded: object = ()) -> Past:
        del recorded
        return await read(self, before, fence=fence)

    return [(Session, "past", past)]


@mutant
def compaction_after_a_turn_recorded_blindly() -> Sequence[Swap]:
    """What was decided in the background is recorded as if nothing had changed since."""
    read = of(Session, "past")
    seen: dict[Session, Past] = {}

    async def past(self: Session, before: int, **options: Any) -> Past:
        found = await read(self, before, **options)
        if not options:
            seen[self] = found
        return found

    async def now(session: Session, holding: Holding) -> Past | None:
        return seen[session] if holding.lease.state == "idle" and holding.lease.seq else None

    return [(Session, "past", past), (afterwards, "_past", now)]


@mutant
def compaction_recorded_amid_a_turn() -> Sequence[Swap]:
    """What was decided in the background is recorded while another turn is open."""

    async def now(session: Session, holding: Holding) -> Past | None:
        return await session.past(holding.lease.seq + 1, fence=holding.lease.fence)

    return [(afterwards, "_past", now)]


@mutant
def room_made_without_a_record() -> Sequence[Swap]:
    """Requests show less, and the journal does not say so."""
    make = of(loop, "make_room")

    async def made(run: Any, key: str, step: int, *extra: Block) -> None:
        runtime, run.runtime = run.runtime, Ephemeral()
        try:
            await make(run, key, step, *extra)
        finally:
            run.runtime = runtime

    return [(loop, "make_room", made)]


@mutant
def window_without_a_ceiling() -> Sequence[Swap]:
    """Nobody looks how large a request is."""

    def pack(self: Window, overhead: Any, view: View, current: Any) -> Packed:
        del self
        items = (*view.items, *(item for block in current.blocks for item in block.items))
        return Packed(items=items, tokens=sum(overhead.values()) + view.tokens + current.tokens)

    return [(loop, "make_room", always_soon(None)), (Window, "pack", pack)]


@mutant
def window_emptied_too_early() -> Sequence[Swap]:
    """Room is made when a window is half full: the prompt cache is of no use."""
    make = of(loop, "make_room")

    async def made(run: Any, key: str, step: int, *extra: Block) -> None:
        shown = run.past.view
        if shown.full > run.about.window.room(run.overhead) // 2:
            run.past = replace(run.past, view=replace(shown, cut=True))
        await make(run, key, step, *extra)

    return [(loop, "make_room", made)]


@mutant
def clearing_forgets_what_was_left_out() -> Sequence[Swap]:
    """When results of the turn are cleared, turns that were left out before come back."""
    record = of(room, "compacted")

    def compacted(past: Past, compaction: Any, *, turn: str, key: str) -> Compacted:
        entry: Compacted = record(past, compaction, turn=turn, key=key)
        return replace(entry, before=0) if compaction is None else entry

    return [(room, "compacted", compacted)]


@mutant
def compaction_cuts_one_turn_more() -> Sequence[Swap]:
    """A turn is left out that should be the first of those that stay."""
    record = of(room, "compacted")

    def compacted(past: Past, compaction: Any, *, turn: str, key: str) -> Compacted:
        entry: Compacted = record(past, compaction, turn=turn, key=key)
        return entry if compaction is None else replace(entry, before=entry.before + 1)

    return [(room, "compacted", compacted), (afterwards, "compacted", compacted)]


@mutant
def cut_result_not_kept() -> Sequence[Swap]:
    """Of a long result the model gets a part, and the whole text is nowhere."""
    return [(of(long_results, "_Place"), "keep", always_soon(None))]


@mutant
def cut_results_share_a_name() -> Sequence[Swap]:
    """The name under which a text is kept does not depend on the text."""
    name = of(long_results, "name_of")

    def name_of(turn: str, key: str, text: str) -> str:
        del text
        return name(turn, key, "")

    return [(long_results, "name_of", name_of)]

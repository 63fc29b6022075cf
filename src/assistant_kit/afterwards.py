"""What is done after a turn, when nobody waits for it: something is remembered, a long conversation is compacted."""

import logging

from assistant_kit.conversation import measure, turns_of
from assistant_kit.entries import Compacted, Entry, MemoriesExtracted
from assistant_kit.protocols.memory import MemoryExtractor
from assistant_kit.request_tokens import tool_tokens
from assistant_kit.run.room import asked, compacted
from assistant_kit.run.turn import Past
from assistant_kit.runtimes.journal import Journal
from assistant_kit.session import Holding, Session
from assistant_kit.view import view_of

_log = logging.getLogger("assistant_kit.run")


async def after_turn(session: Session, extractor: MemoryExtractor | None) -> None:
    """Learn from the turns that nobody has learned from yet, then make room if the window is nearly full.

    Raises what the store and the model raise; nothing of the conversation changes then.
    """
    if extractor is not None:
        await _learn(session, extractor)
    if session.about.compactor.in_background:
        await _compact(session)


async def _learn(session: Session, extractor: MemoryExtractor) -> None:
    about = session.about
    tail = await session.journal.tail(before=None, max_tokens=about.window.budget)
    done = [measured.entry.until for measured in tail.entries if isinstance(measured.entry, MemoriesExtracted)]
    until = max(done, default=0)
    turns = [
        turn
        for turn in turns_of(tail.entries, about.counter)
        if turn.seq > until and turn.finished is not None and turn.finished.outcome == "completed"
    ]
    if about.memory is None or not turns:
        return
    newest = turns[-1]
    extracted = await extractor.extract(
        turns,
        about.memory,
        source=f"{session.conversation}/{newest.turn}",
        model=about.parts.model,
        deadline=about.deadline,
    )
    entry = MemoriesExtracted(
        turn=newest.turn,
        until=newest.seq,
        memories=extracted.memories,
        model=extracted.model,
        usage=extracted.usage,
    )

    async def work(holding: Holding) -> None:
        past = await _past(session, holding)
        if past is not None and newest.turn in {turn.turn for turn in past.view.turns}:
            await _record(session, holding, past, entry)

    await session.leased(work)


async def _compact(session: Session) -> None:
    about = session.about
    settings = about.parts.settings.window
    room = about.window.room(about.least_overhead)
    if about.catalog.tools:  # what they return may be cleared, and is read again by one more
        room = max(0, room - tool_tokens(about.reader(about.find)[1], about.counter))
    newest = await session.journal.read(limit=1)
    past = await session.past(newest[-1].seq + 1)
    if past.view.full <= room * settings.high_watermark and not past.view.cut:
        return
    compaction = await asked(about, past, target=int(room * settings.low_watermark), limit=room)
    if compaction is None:
        return

    async def work(holding: Holding) -> None:
        now = await _past(session, holding)
        before = [turn.turn for turn in past.view.turns]
        if now is None or now.view.compacted != past.view.compacted:
            _log.info("a compaction of %r is discarded: it was compacted meanwhile", session.conversation)
        elif [turn.turn for turn in now.view.turns[: len(before)]] != before:
            _log.info("a compaction of %r is discarded: it was rewound meanwhile", session.conversation)
        else:
            key = f"compact/after/{holding.lease.seq}"
            await _record(session, holding, now, compacted(past, compaction, turn=now.view.turns[-1].turn, key=key))

    await session.leased(work)


async def _past(session: Session, holding: Holding) -> Past | None:
    """Return what the conversation shows now; None while a turn is open, waits or is parked."""
    lease = holding.lease
    return await session.past(lease.seq + 1, fence=lease.fence) if lease.state == "idle" and lease.seq else None


async def _record(session: Session, holding: Holding, past: Past, entry: Entry) -> None:
    journal = holding.journal = Journal(session.store, holding.lease)
    counter = session.about.counter
    await journal.resolve(measure(entry, counter))
    view = past.view
    if isinstance(entry, Compacted):
        view = view_of(view.turns, counter, compacted=entry)
    session.keep(view, journal)

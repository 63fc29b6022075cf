"""Says in a few words what became of a turn, or why it is not finished."""

from collections.abc import Sequence

from assistant_kit.entries import Measured, TurnFinished, TurnSuspended
from assistant_kit.errors import ConversationNotFound, UnreadableEntry
from assistant_kit.journal_reader import JournalReader
from assistant_kit.protocols.store import Store, TurnState, Unfinished
from assistant_kit.replay import record_of
from assistant_kit.run.result import calls_of

UNFINISHED: tuple[TurnState, ...] = ("open", "waiting", "parked")
"""The states of a conversation whose last turn is not finished."""

_BATCH = 100


async def free(store: Store, state: TurnState) -> Sequence[Unfinished]:
    """Return all conversations in this state that nobody holds."""
    limit = _BATCH
    while len(found := await store.unfinished(state=state, limit=limit)) == limit:
        limit *= 2
    return found


async def became(store: Store, turn: Unfinished) -> tuple[str, str]:
    """Return the outcome of a turn that was found unfinished, and its reason."""
    journal = JournalReader(store.for_user(turn.user), turn.conversation)
    try:
        turns = await journal.turns(limit=1)
        if not turns:
            return "left", "its beginning is missing"
        entries = [entry for entry in await journal.read(after=turns[-1].seq - 1) if entry.entry.turn == turns[-1].turn]
    except ConversationNotFound:
        return "deleted", ""
    except UnreadableEntry as error:
        return "left", f"it cannot be read: {error}"
    end = record_of(entries).finished
    return (_state_of(entries), cause(entries)) if end is None else (end.outcome, end.reason)


def _state_of(entries: Sequence[Measured]) -> str:
    last = entries[-1].entry
    return last.outcome if isinstance(last, TurnFinished) else "open"


def cause(entries: Sequence[Measured]) -> str:
    """Return why the turn of these entries is not finished."""
    record = record_of(entries)
    match record.paused:
        case Measured(entry=TurnFinished(outcome="parked", reason=reason)):
            return reason
        case Measured(entry=TurnFinished()):
            return _waiting(entries)
        case Measured(entry=TurnSuspended(reason=reason)):
            return f"attempt {1 + record.resumed} left it for later: {reason}"
        case _:
            return f"its worker is gone, in attempt {1 + record.resumed}"


def _waiting(entries: Sequence[Measured]) -> str:
    decisions = record_of(entries).decisions
    said: list[str] = []
    for call in calls_of(entries):
        decision = decisions.get(call.key)
        if call.outcome is not None:
            continue
        if decision is None:
            said.append(f"{call.tool} ({call.call_id}) needs a decision")
        else:
            verdict = "approved" if decision.approved else "denied"
            by = f" by {decision.by}" if decision.by else ""
            said.append(f"{call.tool} ({call.call_id}) was {verdict}{by}: resume it")
    return ", ".join(said)

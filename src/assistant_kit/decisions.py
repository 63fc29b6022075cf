"""What people and applications decide about a conversation: approvals, unknown outcomes, parked turns, going back."""

from collections.abc import Sequence
from typing import Literal

from assistant_kit.conversation import measure
from assistant_kit.entries import ApprovalDecided, CallResolved, TurnFinished
from assistant_kit.errors import ConversationBusy, InputError
from assistant_kit.journal_reader import JournalReader, undecided
from assistant_kit.messages import Part
from assistant_kit.protocols.store import UserStore
from assistant_kit.replay import record_of
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.result import CallResult
from assistant_kit.runtimes.journal import Journal
from assistant_kit.session import Holding, Session
from assistant_kit.transfer.belongings import delete_belongings
from assistant_kit.usage import Usage


async def decide(session: Session, call_id: str, *, approved: bool, by: str, digest: str | None) -> None:
    """Record a decision on a call that waits for approval.

    Raises InputError when no such call waits, or when it is not the call that `digest` stands for.
    """

    async def work(holding: Holding) -> None:
        entries = await session.journal.open_turn(holding.lease)
        decisions = record_of(entries).decisions if entries else {}
        call = next((call for call in undecided(entries, decisions) if call.call_id == call_id), None)
        if holding.lease.state != "waiting" or call is None:
            raise InputError(f"no call {call_id!r} of conversation {session.conversation!r} waits for approval")
        if digest is not None and digest != call.digest:
            raise InputError(
                f"call {call_id!r} is not the one that was shown: its tool or its arguments differ. Show it again"
            )
        holding.journal = Journal(session.store, holding.lease)
        await holding.journal.decide(
            ApprovalDecided(
                turn=entries[0].entry.turn,
                key=call.key,
                call_id=call_id,
                arguments_hash=call.digest,
                approved=approved,
                by=by,
            )
        )

    await session.leased(work)


async def resolve(
    session: Session, call_id: str, *, outcome: Literal["ok", "error"], content: Sequence[Part], by: str
) -> None:
    """Record what became of a call whose outcome was unknown: `ok` if it took effect, `error` if it did not.

    `call_id` is the call's id, or `turn/key`. Raises InputError when there is no such call, ConversationBusy while
    a turn is open.
    """

    async def work(holding: Holding) -> None:
        if holding.lease.state == "open":
            # Recovery comes first: it decides on this call too.
            raise ConversationBusy(session.conversation, session.about.parts.settings.lease.ttl)
        call = await session.journal.unknown_call(call_id)
        if call is None:
            raise InputError(f"conversation {session.conversation!r} has no call {call_id!r} of unknown outcome")
        found = CallResolved(
            turn=call.turn,
            key=call.key,
            call_id=call.call_id,
            tool=call.tool,
            outcome=outcome,
            content=tuple(content),
            by=by,
        )
        holding.journal = Journal(session.store, holding.lease)
        await holding.journal.resolve(measure(found, session.about.counter))

    await session.leased(work)


async def close(session: Session, *, reason: str) -> None:
    """End a turn that is parked, waits or was interrupted, without an answer. Raises InputError if there is none."""

    async def work(holding: Holding) -> None:
        entries = await session.journal.open_turn(holding.lease)
        if not entries:
            raise InputError(f"conversation {session.conversation!r} has no unfinished turn")
        holding.journal = Journal(session.store, holding.lease)
        end = TurnFinished(turn=entries[0].entry.turn, outcome="cancelled", usage=Usage(), reason=reason)
        await holding.journal.finish(end)

    await session.leased(work)


async def rewind(session: Session, *, to_turn: str | None, elsewhere: Sequence[UserStore] = ()) -> None:
    """Forget what came after a turn, or everything, with what belongs to it and to no other conversation.

    A turn that is not finished ends before. `elsewhere` are other stores in which nested assistants may have their
    turns. Raises InputError when there is no such turn, ConversationBusy when one of those turns is held.
    """

    async def work(holding: Holding) -> None:
        to = 0 if to_turn is None else (await find_turn(session.journal, to_turn)).last_seq
        stores = (session.store, *elsewhere)
        await delete_belongings(stores, holding.lease, after=to, reason="the conversation was rewound")
        await session.store.rewind(holding.lease, to=to)

    await session.leased(work)


async def find_turn(journal: JournalReader, turn: str) -> HistoryTurn:
    """Return a finished turn by its id. Raises InputError when there is none."""
    before: int | None = None
    while page := await journal.turns(limit=20, before=before):
        for found in page:
            if found.turn == turn:
                if found.outcome in (None, "waiting", "parked"):
                    raise InputError(f"turn {turn!r} is not finished: finish or close it first")
                return found
        before = page[0].seq
    raise InputError(f"there is no turn {turn!r} in this conversation: take one from its history")


async def unknown_calls(journal: JournalReader) -> Sequence[tuple[str, CallResult]]:
    """Return the calls whose outcome is still unknown, the oldest first, each with its name `turn/key`."""
    found = [
        (f"{turn.turn}/{call.key}", call)
        for turn in await journal.turns()
        for call in turn.tool_calls
        if call.outcome == "unknown"
    ]
    return tuple(found)

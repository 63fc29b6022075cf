"""What the store really holds, entry by entry, and in which order it and the outside world came to it."""

import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Entry,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.errors import ConversationBusy, ConversationNotFound
from assistant_kit.journal_json import decode
from assistant_kit.messages import ToolCall, text_of
from assistant_kit.protocols.store import Append, Lease, Record, Store
from assistant_kit.registry import CHILD

T = TypeVar("T")
Place = tuple[str, str]
"""A user and a conversation of that user."""
Text = tuple[bytes, ...]
"""A text that is kept, piece by piece."""
KEPT = f"{CHILD}kept:"
"""What the names of conversations begin with that keep texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A record that was written, and as the how-manieth thing in this world."""

    record: Record
    measured: Measured
    order: int


@dataclass(slots=True, kw_only=True)
class CallOnRecord:
    """A tool call that a recorded answer of a model asks for, and all that is recorded of it."""

    place: Place
    turn: str
    key: str
    tool: str
    arguments: str
    nonce: int | None
    order: int
    intents: list[Written] = field(default_factory=list[Written])
    ends: list[Written] = field(default_factory=list[Written])
    decisions: list[Written] = field(default_factory=list[Written])
    resolved: CallResolved | None = None

    @property
    def end(self) -> ToolFinished | None:
        """Its recorded end."""
        entry = self.ends[0].measured.entry if self.ends else None
        return entry if isinstance(entry, ToolFinished) else None


@dataclass(slots=True, kw_only=True)
class TurnOnRecord:
    """A turn, with its entries.

    `deaths` counts how often its worker may have died by now, `most_deaths` how often it had when it was tried again.
    """

    place: Place
    turn: str
    begun: int
    ref: str
    request_id: str | None
    entries: list[Written] = field(default_factory=list[Written])
    calls: dict[str, CallOnRecord] = field(default_factory=dict[str, CallOnRecord])
    finals: list[TurnFinished] = field(default_factory=list[TurnFinished])
    answers: list[ModelResponded] = field(default_factory=list[ModelResponded])
    paused: TurnFinished | None = None
    deaths: int = 1
    most_deaths: int = 0

    def take(self, entry: Entry) -> None:
        """Note a pause, an end, or that somebody goes on with it."""
        match entry:
            case TurnFinished(outcome="waiting" | "parked"):
                self.paused = entry
                self.deaths = 1 if entry.outcome == "parked" else self.deaths
            case TurnFinished():
                self.finals.append(entry)
            case TurnResumed():
                self.paused = None
                self.most_deaths = max(self.most_deaths, self.deaths)
                self.deaths += 1
            case TurnSuspended():
                self.deaths -= 1
            case _:
                pass

    @property
    def outcome(self) -> str | None:
        """How it ended, or paused; None while it is open."""
        if self.finals:
            return self.finals[-1].outcome
        return None if self.paused is None else self.paused.outcome


@dataclass(slots=True, kw_only=True)
class Holder:
    """Who holds a conversation, until when by the store's clock."""

    fence: int
    owner: str
    until: float


class Ledger:
    """Reads after each commit what has come to the journals; told by the stores of all workers."""

    def __init__(self, store: Store, now: Callable[[], float], say: Callable[[str, object, str], None]) -> None:
        """Take the store itself, without its faults, its clock, and what takes notes for the trace."""
        self.order = 0
        self.journals: dict[Place, list[Written]] = {}
        self.turns: dict[str, TurnOnRecord] = {}
        self.of_nonce: dict[int, CallOnRecord] = {}
        self.holders: dict[Place, Holder] = {}
        self.promised: list[tuple[Place, Append]] = []
        self.unrecorded: list[str] = []
        self.unlawful: list[str] = []
        self.named: dict[Place, Text] = {}
        self._texts: dict[Place, Text] = {}
        self._fences: dict[Place, int] = {}
        self._store = store
        self._now = now
        self._say = say

    def tick(self) -> int:
        """Return the number of what happens now."""
        self.order += 1
        return self.order

    def claimed(self, user: str, lease: Lease, ttl: float) -> None:
        """Note who holds a conversation, and whether that could be."""
        place = (user, lease.conversation)
        holder = self.holders.get(place)
        if holder is not None and holder.owner != lease.owner and self._now() < holder.until:
            self.unlawful.append(f"{place} was given to another {holder.until - self._now():.1f} s too early")
        if lease.fence <= self._fences.get(place, -1):
            self.unlawful.append(f"{place} was claimed twice with fence {lease.fence}")
        self._fences[place] = lease.fence
        self.holders[place] = Holder(fence=lease.fence, owner=lease.owner, until=self._now() + ttl)

    def renewed(self, user: str, lease: Lease, ttl: float) -> None:
        """Note that a lease lasts longer."""
        holder = self.holders.get((user, lease.conversation))
        if holder is None or holder.fence != lease.fence:
            self.unlawful.append(f"a lost lease on {(user, lease.conversation)} was renewed")
        else:
            holder.until = self._now() + ttl

    def gave_up(self, user: str, lease: Lease) -> None:
        """Note that nobody does."""
        holder = self.holders.get((user, lease.conversation))
        if holder is not None and holder.fence == lease.fence:
            del self.holders[user, lease.conversation]

    def is_free(self, place: Place) -> bool:
        """Tell whether the store lets a conversation be claimed."""
        try:
            lease = at_once(self._store.for_user(place[0]).claim(place[1], owner="probe", ttl=1.0))
        except ConversationBusy:
            return False
        at_once(self._store.for_user(place[0]).release(lease))
        self._fences[place] = max(lease.fence, self._fences.get(place, -1))
        return True

    def acknowledged(self, user: str, write: Append) -> None:
        """Note what somebody relies on; texts that are kept have a rule of their own."""
        if write.lease.conversation.startswith(KEPT):
            return
        self.promised.append(((user, write.lease.conversation), write))

    def changed(self, user: str, conversation: str) -> None:
        """Read what is new."""
        if conversation.startswith(KEPT):
            self._kept((user, conversation))
            return
        journal = self.journals.setdefault((user, conversation), [])
        for record in self.read(user, conversation, after=len(journal)):
            measured = decode(
                record.body, conversation=conversation, seq=record.seq, tokens=record.tokens, at=record.at
            )
            written = Written(record=record, measured=measured, order=self.tick())
            journal.append(written)
            self._say("journal", f"{user}/{conversation[-8:]}", _line(written))
            holder = self.holders.get((user, conversation))
            if holder is None or holder.fence != record.fence:
                self.unlawful.append(f"{(user, conversation)}: record {record.seq} was written without a lease")
            self._sort((user, conversation), written)

    def text_of(self, place: Place) -> Text:
        """Return what a conversation keeps of a text, piece by piece."""
        return tuple(record.body for record in self.read(*place))

    def _kept(self, place: Place) -> None:
        """Note a text that changes: of one name there is one text, of which a dead attempt may have kept a part."""
        text = self.text_of(place)
        self._say("kept", f"{place[0]}/{place[1][-8:]}", f"{len(text)} records")
        known = self._texts.get(place, ())
        shorter, longer = sorted((text, known), key=len)
        if longer[: len(shorter)] != shorter or (place in self.named and text != self.named[place]):
            self.unrecorded.append(f"{place} has changed its text")
        self._texts[place] = longer

    def _names(self, place: Place, end: ToolFinished) -> None:
        kept = (place[0], f"{KEPT}{end.kept}")
        self.named[kept] = self.text_of(kept)
        whole = "".join(piece for body in self.named[kept] for piece in json.loads(body))
        shown = text_of(end.content)
        first, last = shown.partition("\n[… ")[0], shown.rpartition("…]\n")[2]
        if not whole or not whole.startswith(first) or not whole.endswith(last):
            self.unrecorded.append(f"{place}: {end.key} of turn {end.turn} is not of the text of {kept}")

    def read(self, user: str, conversation: str, *, after: int = 0) -> Sequence[Record]:
        """Return what the store holds."""
        try:
            return at_once(self._store.for_user(user).read(conversation, after=after))
        except ConversationNotFound:
            return ()

    def turns_of(self, place: Place) -> list[TurnOnRecord]:
        """Return the turns of a conversation."""
        return [turn for turn in self.turns.values() if turn.place == place]

    def _sort(self, place: Place, written: Written) -> None:
        entry = written.measured.entry
        if isinstance(entry, TurnStarted):
            self._begun(place, entry, written.order)
        turn = self.turns.get(entry.turn)
        if turn is None:
            self.unrecorded.append(f"{entry.kind} of turn {entry.turn}, which did not begin")
            return
        turn.entries.append(written)
        match entry:
            case ModelResponded():
                self._asked(turn, entry, written.order)
            case ToolStarted() | ToolFinished() | ApprovalDecided() | CallResolved():
                self._of_a_call(turn, entry, written)
            case _:
                turn.take(entry)

    def _begun(self, place: Place, entry: TurnStarted, order: int) -> None:
        ref = text_of(entry.input.content).partition(" ")[2].partition(": ")[0]
        if entry.turn in self.turns:
            self.unrecorded.append(f"turn {entry.turn} begins twice")
        self.turns[entry.turn] = TurnOnRecord(
            place=place, turn=entry.turn, begun=order, ref=ref, request_id=entry.request_id
        )

    def _asked(self, turn: TurnOnRecord, entry: ModelResponded, order: int) -> None:
        turn.answers.append(entry)
        calls = [item for item in entry.items if isinstance(item, ToolCall)]
        for index, item in enumerate(calls):
            key = f"{entry.step}.{index}"
            nonce = nonce_of(item.arguments)
            call = CallOnRecord(
                place=turn.place,
                turn=turn.turn,
                key=key,
                tool=item.name,
                arguments=item.arguments,
                nonce=nonce,
                order=order,
            )
            turn.calls[key] = call
            if nonce is not None:
                self.of_nonce[nonce] = call

    def _of_a_call(
        self, turn: TurnOnRecord, entry: ToolStarted | ToolFinished | ApprovalDecided | CallResolved, written: Written
    ) -> None:
        call = turn.calls.get(entry.key)
        if call is None:
            self.unrecorded.append(f"{entry.kind} of call {entry.key} of turn {turn.turn}, which nobody asked for")
            return
        match entry:
            case ToolStarted():
                call.intents.append(written)
            case ToolFinished():
                call.ends.append(written)
                if entry.kept:
                    self._names(turn.place, entry)
            case ApprovalDecided():
                call.decisions.append(written)
            case CallResolved():
                call.resolved = entry


def _line(written: Written) -> str:
    """Return a record as a line of a trace."""
    entry = written.measured.entry
    told = (getattr(entry, name, None) for name in ("step", "key", "tool", "attempt", "outcome", "approved", "reason"))
    record = written.record
    words = " ".join(str(word) for word in told if word not in (None, ""))
    return f"{record.seq:3} fence {record.fence} turn {entry.turn[:4]} {entry.kind} {words}"


def nonce_of(arguments: str) -> int | None:
    """Return the number that the model has given to a call."""
    try:
        found: dict[str, object] = json.loads(arguments)
    except ValueError:
        return None
    nonce = found.get("nonce")
    return nonce if isinstance(nonce, int) else None


def at_once(coroutine: Coroutine[Any, Any, T] | Any) -> T:
    """Return what a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")

"""`inspect`: what happened in a conversation, entry by entry."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from assistant_kit.cli.addresses import opened
from assistant_kit.cli.checkup import PAGE
from assistant_kit.cli.entry_lines import lines_of
from assistant_kit.cli.screen import Screen, clock, cut, day
from assistant_kit.entries import Entry, TurnStarted
from assistant_kit.errors import InputError, UnreadableEntry
from assistant_kit.journal_json import decode
from assistant_kit.protocols.store import Record, Store
from assistant_kit.run.long_results import KIND, pieces_in

_PLACE: Final = 26
"""Columns of an entry's seq, claim and time."""

_HEAD: Final = f"{'seq':>5} {'claim':>5}  {'time':<12}"


@dataclass(frozen=True, slots=True)
class Place:
    """What is to be looked at: a conversation, or those of its turns whose ids begin with `turn`."""

    address: str
    user: str
    conversation: str
    turn: str | None

    async def records(self, store: Store) -> AsyncIterator[Record]:
        """Yield all records; a gap in a damaged journal does not end it. Raises ConversationNotFound, StoreError."""
        journals = store.for_user(self.user)
        newest = await journals.read(self.conversation, limit=1)
        for after in range(0, newest[-1].seq if newest else 0, PAGE):
            for record in await journals.read(self.conversation, after=after, before=after + PAGE + 1):
                yield record

    def includes(self, turn: str) -> bool:
        """Tell whether this turn is to be shown."""
        return self.turn is None or turn.startswith(self.turn)

    def check_found(self, found: int) -> None:
        """Raise InputError when the turn that was asked for is not there."""
        if self.turn is not None and not found:
            raise InputError(f"conversation {self.conversation!r} has no turn whose id begins with {self.turn!r}")


async def inspect(place: Place, screen: Screen, *, full: bool) -> int:
    """Print a timeline. Return 1 if an entry cannot be read. Raises ConversationNotFound, StoreError, InputError."""
    timeline = _Timeline(screen, full=full)
    found = unreadable = 0
    async with opened(place.address) as store:
        async for record in place.records(store):
            timeline.count(record)
            try:
                found += _show(timeline, record, place)
            except UnreadableEntry as error:
                unreadable += 1
                timeline.show_unreadable(record, error.problem)
    place.check_found(found)
    return 1 if unreadable else 0


async def inspect_as_json(place: Place, screen: Screen) -> int:
    """Print the records as JSON lines. Return 1 if a body is no JSON. Raises as `inspect`."""
    found = unreadable = 0
    async with opened(place.address) as store:
        async for record in place.records(store):
            told = _as_json(record)
            unreadable += "problem" in told
            if "problem" in told or place.includes(str(told.get("entry", {}).get("turn", ""))):
                found += 1
                screen.json(json.dumps(told, ensure_ascii=False))
    place.check_found(found)
    return 1 if unreadable else 0


def _show(timeline: "_Timeline", record: Record, place: Place) -> bool:
    """Show a record if it was asked for, and tell whether it was. Raises UnreadableEntry."""
    if record.kind == KIND:  # a part of an overlong tool result, which belongs to no turn of its conversation
        shown = place.includes("")
        if shown:
            timeline.show_kept(record, "".join(pieces_in(place.conversation, record)))
        return shown
    entry = _entry(record, place.conversation)
    shown = place.includes(entry.turn)
    if shown:
        timeline.show(record, entry)
    return shown


def _entry(record: Record, conversation: str) -> Entry:
    return decode(record.body, conversation=conversation, seq=record.seq, tokens=record.tokens, at=record.at).entry


def _as_json(record: Record) -> dict[str, Any]:
    frame = {
        "seq": record.seq,
        "at": record.at,
        "fence": record.fence,
        "record_id": record.record_id,
        "kind": record.kind,
        "tokens": record.tokens,
        "total_tokens": record.total_tokens,
    }
    try:
        entry = from_json(record.body)
    except ValueError as error:
        return {**frame, "problem": str(error)}
    if record.kind == KIND and isinstance(entry, list):
        return {**frame, "pieces": entry}
    return {**frame, "entry": entry} if isinstance(entry, dict) else {**frame, "problem": "it is no object"}


class _Timeline:
    """Prints entries as they come, each turn under a heading."""

    def __init__(self, screen: Screen, *, full: bool) -> None:
        self._screen = screen
        self._full = full
        self._begun = False
        self._turn: str | None = None
        self._day = ""
        self._fence: int | None = None
        self._claims = self._shown_claim = 0

    def count(self, record: Record) -> None:
        """Take note of a record, whether it is shown or not: fences of some stores are too long to be read."""
        self._claims += record.fence != self._fence
        self._fence = record.fence

    def show(self, record: Record, entry: Entry) -> None:
        """Print an entry."""
        self._begin()
        if entry.turn != self._turn:
            self._heading(record, entry)
        elif self._claims != self._shown_claim:
            self._remark(f"claimed anew, fence {record.fence}")
        if day(record.at) != self._day:
            self._day = day(record.at)
            self._remark(self._day)
        self._shown_claim = self._claims
        for number, (label, text) in enumerate(lines_of(entry, full=self._full)):
            self._line(None if number else record, label, text)

    def show_kept(self, record: Record, text: str) -> None:
        """Print a part of a text that is kept beside a journal."""
        self._begin()
        self._line(record, "kept", text)

    def show_unreadable(self, record: Record, problem: str) -> None:
        """Print what is known of an entry that cannot be read."""
        self._begin()
        self._line(record, "DAMAGED", problem)

    def _begin(self) -> None:
        if not self._begun:
            self._screen.line(_HEAD)
        self._begun = True

    def _heading(self, record: Record, entry: Entry) -> None:
        self._turn, self._day = entry.turn, day(record.at)
        self._screen.line()
        self._screen.line(f"turn {entry.turn}")
        asked = ""
        if isinstance(entry, TurnStarted):
            asked = "" if entry.request_id is None else f", request {entry.request_id}"
            asked = (f", answered by {entry.assistant}" if entry.assistant else "") + asked
        self._screen.line(f"{self._day} UTC{asked}")

    def _remark(self, text: str) -> None:
        self._screen.line(f"{'':{_PLACE}}-- {text}")

    def _line(self, record: Record | None, label: str, text: str) -> None:
        """Print a line; without a record it belongs to the one above."""
        place = "" if record is None else f"{record.seq:>5} {self._claims:>5}  {clock(record.at)}"
        head = f"{place:<{_PLACE}} {label:<8} "
        if self._full:
            self._screen.beside(head, text)
        else:
            self._screen.line(head + cut(text, self._screen.columns - len(head)))

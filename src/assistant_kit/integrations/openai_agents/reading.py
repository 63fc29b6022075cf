"""Entries of a journal as items of the SDK, each with the place where it stands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from pydantic_core import from_json

from assistant_kit.conversation import turns_of
from assistant_kit.entries import CallResolved, Entry, Measured, ToolFinished, ToolNoted, TurnFinished, TurnStarted
from assistant_kit.integrations.openai_agents.items import SDK, Item, items_of, role_of
from assistant_kit.protocols.token_counter import TokenCounter

INSTEAD: Final = "openai-agents/instead"
"""The key of a note with the items that the entry before it stands for, where that alone would not give them."""

BESIDE: Final = "openai-agents/beside"
"""The key of a note with items that no entry stands for, such as a system message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Items that one record stands for, with a note behind it. They come from the records from `first` on."""

    first: int
    entry: Entry
    items: tuple[Item, ...]


def placed(entries: Sequence[Measured]) -> list[Placed]:
    """Return what stands in these entries, in order. A note at the front, whose entry is not here, is left out."""
    resolved = {
        (entry.turn, entry.key): entry
        for entry in (measured.entry for measured in entries)
        if isinstance(entry, CallResolved) and entry.by != SDK
    }
    groups: list[Placed] = []
    for measured in entries:
        match measured.entry:
            case ToolNoted(key=key, note=note) if key == INSTEAD:
                if groups:
                    groups[-1] = replace(groups[-1], items=_noted(note))
            case ToolNoted(key=key, note=note) as entry if key == BESIDE:
                groups.append(Placed(first=measured.seq, entry=entry, items=_noted(note)))
            case ToolFinished(outcome="unknown", turn=turn, key=key) as entry if (turn, key) in resolved:
                told = replace(entry, content=resolved[turn, key].content)
                groups.append(Placed(first=measured.seq, entry=entry, items=tuple(items_of(told))))
            case entry:
                groups.append(Placed(first=measured.seq, entry=entry, items=tuple(items_of(entry))))
    return groups


def begins_inside(entries: Sequence[Measured]) -> bool:
    """Tell whether the first entry belongs to the one before it."""
    return bool(entries) and isinstance(entries[0].entry, ToolNoted) and entries[0].entry.key == INSTEAD


def fitting(entries: Sequence[Measured], counter: TokenCounter, *, max_tokens: int) -> list[Item]:
    """Return the items of the newest whole turns among these entries that are together at most `max_tokens`.

    A result is left out with its call, also where it came in a later turn.
    """
    notes: dict[str, int] = {}
    for measured in entries:
        if isinstance(measured.entry, ToolNoted):
            notes[measured.entry.turn] = notes.get(measured.entry.turn, 0) + measured.tokens
    fit: set[str] = set()
    left = max_tokens
    for turn in reversed(turns_of(entries, counter)):
        left -= turn.tokens + notes.get(turn.turn, 0)
        if left < 0:
            break
        fit.add(turn.turn)
    items = [item for group in placed(entries) if group.entry.turn in fit for item in group.items]
    calls = {str(item.get("call_id")) for item in items if item.get("type") == "function_call"}
    return [item for item in items if role_of(item) != "result" or item["call_id"] in calls]


def is_over(entries: Iterable[Measured]) -> bool:
    """Tell whether the turn of these entries has ended: a pause is no end."""
    ends = [measured.entry.outcome for measured in entries if isinstance(measured.entry, TurnFinished)]
    return bool(ends) and ends[-1] not in ("waiting", "parked")


def is_ours(entry: Entry) -> bool:
    """Tell whether a turn that begins so is one of the SDK."""
    return isinstance(entry, TurnStarted) and entry.assistant == SDK


def is_made_up(group: Placed) -> bool:
    """Tell whether a turn begins here for what the model said without being asked."""
    return isinstance(group.entry, TurnStarted) and not group.items


def _noted(note: str) -> tuple[Item, ...]:
    return tuple(cast("list[Item]", from_json(note)))

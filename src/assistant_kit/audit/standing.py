"""What each conversation should hold, built step by step from what the chain tells.

Only the shape is kept, never the records: memory grows with conversations, forks and rewinds, not with the history.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from assistant_kit.audit.chain import Appended, Deleted, Forked, Renamed, Rewound, Step

NO_TITLE: Final = hashlib.sha256(b"").hexdigest()

Segment: TypeAlias = int
"""A stretch of records that several conversations may share: a number in the order of their beginnings."""


class Impossible(Exception):
    """A step that does not fit the ones before it; the text says why."""


@dataclass(slots=True)
class Conversation:
    """What a conversation should be: its newest segment, the number of its records, the SHA-256 of its title."""

    segment: Segment
    length: int = 0
    title: str = NO_TITLE


@dataclass(frozen=True, slots=True)
class Place:
    """Where records were appended: the segment, and the seq of the first of them."""

    segment: Segment
    seq: int


class Standing:
    """All conversations of a user after the steps so far."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        # For each segment the one that it goes on from, and how many records are found before it.
        self._origins: list[tuple[Segment | None, int]] = []

    def take(self, step: Step) -> Place | None:
        """Carry out a step; return where it has put records. Raises Impossible."""
        match step:
            case Appended():
                return self._append(step)
            case Forked():
                self._fork(step)
            case Rewound():
                self._rewind(step)
            case Renamed():
                self._get(step.conversation).title = step.title
            case Deleted():
                self.conversations.pop(step.conversation, None)
            case _:
                self.conversations.clear()
        return None

    def _get(self, name: str) -> Conversation:
        """Return a conversation. A claim makes one and leaves no link, so that any may be there."""
        if name not in self.conversations:
            self.conversations[name] = Conversation(self._segment(None, 0))
        return self.conversations[name]

    def _segment(self, parent: Segment | None, base: int) -> Segment:
        # Parents that lie wholly behind the base are passed over: bases fall on the way back, which stays short.
        while parent is not None and self._origins[parent][1] >= base:
            parent = self._origins[parent][0]
        self._origins.append((parent, base))
        return len(self._origins) - 1

    def _append(self, step: Appended) -> Place:
        conversation = self._get(step.conversation)
        seq = conversation.length + 1
        conversation.length += len(step.records)
        return Place(conversation.segment, seq)

    def _fork(self, step: Forked) -> None:
        source = self._get(step.source)
        if step.conversation in self.conversations:
            raise Impossible(f"conversation {step.conversation!r} was there already")
        if not 0 <= step.at <= source.length:
            raise Impossible(f"conversation {step.source!r} had {source.length} records, not {step.at}")
        self.conversations[step.conversation] = Conversation(self._segment(source.segment, step.at), step.at)

    def _rewind(self, step: Rewound) -> None:
        conversation = self._get(step.conversation)
        if not 0 <= step.to <= conversation.length:
            raise Impossible(f"conversation {step.conversation!r} had {conversation.length} records, not {step.to}")
        conversation.segment = self._segment(conversation.segment, step.to)
        conversation.length = step.to

    def readers(self) -> Mapping[Segment, Sequence[tuple[str, int]]]:
        """Return for each segment the conversations that show records of it, and up to which seq."""
        found: defaultdict[Segment, list[tuple[str, int]]] = defaultdict(list)
        for name, conversation in self.conversations.items():
            for segment, upto in self._lineage(conversation):
                found[segment].append((name, upto))
        return found

    def _lineage(self, conversation: Conversation) -> Iterator[tuple[Segment, int]]:
        segment: Segment | None = conversation.segment
        upto = conversation.length
        while segment is not None:
            yield segment, upto
            segment, upto = self._origins[segment]

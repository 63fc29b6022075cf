"""The ends of audit chains as a client knows them, from which it computes the next links.

Scripts cannot: Lua has no SHA-256 there. A script that finds another end refuses, says which one it found, and changes
nothing; so an outdated end costs one more round trip, and never a wrong link.
"""

from typing import Final

from assistant_kit.audit_chain import GENESIS, AuditNote, link_after
from assistant_kit.stores.redis.calls import Question

ENTRY_BYTES: Final = 72
"""8 of the time in microseconds, 32 of the digest, 32 of the link."""

_AT: Final = slice(0, 8)
_LINK: Final = slice(40, 72)


class ChainHeads:
    """The last entry of each chain that was written to lately, of at most `limit` chains."""

    __slots__ = ("_last", "_limit")

    def __init__(self, limit: int = 10_000) -> None:
        self._last: dict[tuple[str, str], bytes] = {}
        self._limit = limit

    def learn(self, question: Question, last: bytes) -> None:
        """Take note of the last entry of a chain; empty when there is none."""
        self._last[_chain(question)] = last
        if len(self._last) > self._limit:
            del self._last[next(iter(self._last))]

    def extend(self, question: Question, note: AuditNote, *, at_us: int) -> tuple[bytes, bytes, bytes]:
        """Return the head that is known of a chain, the entry behind it, and what the entry stands for.

        The entry is the last one then. All questions of a group are asked before one is answered, so each goes behind
        the one before; where that one changed nothing, the script refuses this one.
        """
        last = self._last.get(_chain(question), b"")
        head = last[_LINK] or GENESIS
        at_us = max(at_us, int.from_bytes(last[_AT], "big"))
        entry = at_us.to_bytes(8, "big") + note.digest + link_after(head, note.digest, at_us)
        self.learn(question, entry)
        return head, entry, note.salt + note.payload


def _chain(question: Question) -> tuple[str, str]:
    return question.keys[0], question.user

"""The contract of what writes an application's own rows in the transaction in which a journal is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from assistant_kit.entries import Measured
from assistant_kit.journal_json import decode
from assistant_kit.protocols.store import NewRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """What is about to be written: `records` of a user's conversation, of which the first gets the number `seq`."""

    user: str
    conversation: str
    seq: int
    records: Sequence[NewRecord]

    def entries(self) -> Sequence[Measured]:
        """Return the entry in each of `records`, in their order, with its `seq`. Raises UnreadableEntry.

        The store's time is not known yet: `at` is 0.
        """
        return tuple(
            decode(record.body, conversation=self.conversation, seq=seq, tokens=record.tokens, at=0.0)
            for seq, record in enumerate(self.records, start=self.seq)
        )


class Projection(Protocol):
    """Makes rows of what is written to a journal.

    It gets the database connection of the transaction (`sqlite3.Connection`, `psycopg.Connection`; a dict for the store
    in memory), may read and write the application's tables by it, and neither commits nor rolls back. It is called in
    a thread of its own, without one for the store in memory. All or nothing: if it raises, the records are not written
    either. It may be called again for the same records, after what it did before was undone.
    """

    def __call__(self, connection: Any, written: Projected, /) -> None:
        """Write rows. Whatever it raises becomes ProjectionFailed."""
        ...

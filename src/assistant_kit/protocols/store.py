"""The contract of a place where journals live.

A store keeps opaque records in order and guards who may write. It is reached only through a handle that is bound to
one user. `assistant_kit.testing.conformance` has the tests that every store passes.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from assistant_kit.audit_chain import AuditLink

TurnState: TypeAlias = Literal["idle", "open", "waiting", "parked"]
"""Whether a turn is unfinished (`open`), paused until somebody decides on a tool call (`waiting`), or given up on after
several attempts to recover it, until somebody looks at it (`parked`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A record to append. `record_id` is unique in its conversation, so that a repeated append is recognised."""

    record_id: str
    kind: str
    body: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A stored record. `total_tokens` is the sum of `tokens` up to and with this one; `at` is the store's time."""

    seq: int
    record_id: str
    kind: str
    body: bytes
    tokens: int
    total_tokens: int
    fence: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write to a conversation. `fence` grows with every claim.

    `seq` is the number of records when the lease was taken, `at` the store's time then; `open_turn` is the seq of the
    first record of the turn that is not finished, if `state` is not `idle`. `begun` tells whether the claim has begun
    a turn. A lease that was given up is lost.
    """

    conversation: str
    owner: str
    fence: int
    seq: int
    at: float
    state: TurnState = "idle"
    open_turn: int | None = None
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationInfo:
    """What a list of conversations shows. Times are the store's, in seconds since 1970.

    `records` is their number: in a conversation that has none, nothing was said yet.
    """

    conversation: str
    records: int
    state: TurnState
    created_at: float
    updated_at: float
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A conversation whose last turn is not finished and that nobody holds. `updated_at` is the store's time."""

    user: str
    conversation: str
    state: TurnState
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One atomic write.

    It takes place if `lease` is still the newest one and the conversation has exactly `expected_seq` records, or has
    exactly these records already (an append that was repeated because its acknowledgement was lost).
    `state` and `open_turn` replace those of the conversation; `release` gives the lease up in the same write.
    """

    lease: Lease
    expected_seq: int
    records: Sequence[NewRecord]
    state: TurnState
    open_turn: int | None
    release: bool = False


class UserStore(Protocol):
    """The journals of one user. A foreign conversation behaves as one that does not exist."""

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease for `ttl` seconds, making the conversation when it is new; durable on return.

        The store's own clock decides. The same `owner` may claim again: that is a new fence. `begin` is the first
        record of a turn: it is appended in the same write, and the conversation is then `open` with it as
        `open_turn`, unless a turn is unfinished already or a record of this id is there; the lease tells by `begun`.
        Raises ConversationBusy with the seconds after which the holder's lease ends, InputError.
        """
        ...

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost if it has passed to somebody else."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        ...

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return.

        Raises LeaseLost when a newer lease exists, ConversationConflict when the number of records differs.
        """
        ...

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return records in order. Raises ConversationNotFound.

        Those with `after` < seq < `before`, of these the newest that are together at most `max_tokens`, of these the
        newest `limit`.
        """
        ...

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none."""
        ...

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation, by one look at it. Raises ConversationNotFound, InputError."""
        ...

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first; `before` is an `updated_at` to go on from."""
        ...

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write in one transaction with what else is done in it.

        `work` gets the database connection of the transaction (`sqlite3.Connection`, `psycopg.Connection`; a dict for
        the store in memory, whose content survives only a commit) and returns the write, which is checked as by
        `append`. If `work` or the check raises, all is undone; so it is when the same write stands already, as its work
        was done with it. Cancellation after `work` has returned waits for the outcome. The connection may be used in
        any one thread at a time until `work` returns, and is neither committed nor rolled back by it. Raises
        NotTransactional where the store has no transactions.
        """
        ...

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title that lists show; needs no lease. Raises ConversationNotFound, InputError."""
        ...

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make the conversation `new`, which begins with the first `at` records of `conversation`, shared, not copied.

        It is `idle`, without a title, and lives on when the other is deleted. Raises ConversationNotFound,
        ConversationExists, and InputError when there are not so many records. A fork that was made already, by this
        very call, and has not been written to since, is left as it is (a repeated call whose acknowledgement was lost).
        """
        ...

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`; later ones are no longer found by `read` and `locate`.

        It is `idle` then, and the next write has `to` as its `expected_seq`. Raises LeaseLost, and InputError when
        there are not so many records. Forks that share later records keep them.
        """
        ...

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, or ConversationBusy if it is leased."""
        ...

    async def erase(self) -> int:
        """Delete all that is kept of this user, leased or not, and return the number of conversations.

        Leases on them are lost. The audit chain loses its payloads and salts and passes to a made-up user
        `erased-…`, under whom it can still be read; its last link notes the erasure.
        """
        ...

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return the links of the user's audit chain with n > `after`, in order; none where the store keeps none.

        Records bear the time of the link that notes them, and the fence that its payload tells.
        """
        ...


class Store(Protocol):
    """A place where journals live."""

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached."""
        ...

    async def open(self) -> None:
        """Connect, make or upgrade what is needed, and see that writes will last; every first use does so, too.

        Raises StoreError, StoreVolatile.
        """
        ...

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations of all users in this state that nobody holds now, the longest unchanged first.

        For workers that look for turns to finish; what is in them is reached through `for_user` only.
        """
        ...

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users with a conversation or an audit chain behind `after`, in the order of their UTF-8 bytes."""
        ...

    async def aclose(self) -> None:
        """Free what is held; the store is not used afterwards. May be called twice."""
        ...

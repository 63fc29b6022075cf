"""The journals of one user in Postgres: each operation is one statement, nearly always the call of a function there."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import anyio
from psycopg.rows import TupleRow

from assistant_kit import audit_chain
from assistant_kit.audit_chain import AuditLink, AuditNote
from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    LeaseLost,
)
from assistant_kit.postgres_session import Session
from assistant_kit.protocols.store import Append, ConversationInfo, Lease, NewRecord, Record, TurnState
from assistant_kit.stores._rules import (
    begun,
    check_append,
    check_claim,
    check_name,
    check_place,
    check_title,
    check_transaction,
    check_ttl,
    name_of_erased,
    noted,
    noted_under,
)
from assistant_kit.stores.postgres.database import EVERYTHING, Database, integer
from assistant_kit.stores.postgres.lanes import Call
from assistant_kit.stores.postgres.link import Link
from assistant_kit.stores.postgres.server import Cursor
from assistant_kit.stores.postgres.values import blobs, integers, texts

_LEAST_WAIT: Final = 0.001  # seconds: a lease that ends just now


class PostgresJournals:
    """The journals of one user."""

    __slots__ = ("_database", "_user")

    def __init__(self, database: Database, user: str) -> None:
        self._database = database
        self._user = user

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        record = (None,) * 4 if begin is None else (begin.record_id, begin.kind, begin.body, begin.tokens)
        # The fence is the server's to give: it puts it into what is chained.
        note = partial(noted_under, None, conversation, (begin,)) if begin else _nothing
        status, seconds, fence, seq, at, state, open_turn, has_begun = await self._write(
            "claim", conversation, owner, ttl, *record, note=note, undo=partial(self._undo_claim, conversation)
        )
        if status == "busy":
            raise ConversationBusy(conversation, max(seconds or 0, _LEAST_WAIT))
        lease = Lease(
            conversation=conversation, owner=owner, fence=fence, seq=seq, at=at, state=state, open_turn=open_turn
        )
        return begun(lease) if has_begun else lease

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        (status,) = await self._write("renew", lease.conversation, lease.fence, ttl)
        if status == "lost":
            raise LeaseLost(lease.conversation)

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self._write("release", lease.conversation, lease.fence)

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return. Raises LeaseLost, ConversationConflict, InputError.

        The task may be cancelled: the write takes place nevertheless, or not at all; append it again to be sure.
        """
        check_append(write)
        status, found = await self._write("append", *_values(write), note=partial(noted, write))
        _check_appended(write, status, found)

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write in one transaction with what `work` does on the connection that it gets.

        A repeated write undoes what its work did: the first one has done it. Raises LeaseLost, ConversationConflict,
        InputError, and what `work` raises.
        """
        async with self._database.loan() as loan:
            write = await work(loan.lent())
            check_transaction(lease, write)
            status, found = await loan.finish(partial(self._append_by, write))
        _check_appended(write, status, found)

    def _append_by(self, write: Append, connection: Session) -> TupleRow:
        """Append in the transaction of `connection`, and return what came of it."""
        statement = self._database.statements["append"]
        note = noted(write) if self._database.audit.is_kept else None
        values = (self._user, *_values(write), *_triple(note))
        (answer,) = connection.execute(statement, values, binary=True).fetchall()
        if answer[0] == "audit":
            self._database.audit.is_kept = True
            return self._append_by(write, connection)
        return answer

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return the newest records that fit the limits, in order. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        end, most = EVERYTHING if before is None else integer(before), None if limit is None else max(0, integer(limit))
        found = await self._database.read(
            "read", self._user, conversation, max(0, integer(after)), end, max_tokens, most
        )
        if not found:
            raise ConversationNotFound(conversation)
        return tuple(
            Record(
                seq=seq,
                record_id=record_id,
                kind=kind,
                body=body,
                tokens=tokens,
                total_tokens=total_tokens,
                fence=fence,
                at=at,
            )
            for seq, record_id, kind, body, tokens, total_tokens, fence, at in found[:0:-1]
        )

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        ((seq,),) = await self._database.read("locate", self._user, conversation, record_id)
        return seq

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        found = await self._database.read("info", self._user, conversation)
        if not found:
            raise ConversationNotFound(conversation)
        return _info(*found[0])

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first.

        A page is longer than `limit` when some changed in the very same microsecond as its last one.
        """
        found = await self._database.read(
            "list", self._user, math.inf if before is None else before, max(0, integer(limit))
        )
        return tuple(_info(*row) for row in found)

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the order of the list stays. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        check_title(title)
        note = partial(audit_chain.renamed, conversation, title)
        (status,) = await self._write("rename", conversation, title, note=note)
        if status == "missing":
            raise ConversationNotFound(conversation)

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another; none is copied.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        check_name("conversation", conversation)
        check_name("conversation", new)
        note = partial(audit_chain.forked, new, source=conversation, at=at)
        status, found = await self._write("fork", conversation, new, integer(at), note=note, apart=True)
        if status == "missing":
            raise ConversationNotFound(conversation)
        if status == "exists":
            raise ConversationExists(new)
        check_place(conversation, at, records=found)

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`. Raises LeaseLost, InputError."""
        conversation = lease.conversation
        note = partial(audit_chain.rewound, conversation, to=to)
        status, found = await self._write("rewind", conversation, lease.fence, integer(to), note=note, apart=True)
        if status == "lost":
            raise LeaseLost(conversation)
        check_place(conversation, to, records=found)

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        note = partial(audit_chain.deleted, conversation)
        status, seconds = await self._write("delete", conversation, note=note, apart=True)
        if status == "missing":
            raise ConversationNotFound(conversation)
        if status == "busy":
            raise ConversationBusy(conversation, seconds)

    async def erase(self) -> int:
        """Delete all that is kept of this user, and return the number of conversations."""
        _, found = await self._write("erase", name_of_erased(), note=audit_chain.erased, apart=True)
        return found

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the user's audit chain, in order."""
        found = await self._database.read("audit_log", self._user, max(0, after), max(0, integer(limit)))
        return tuple(
            AuditLink(n=n, at_us=at_us, payload=payload, salt=salt, digest=digest, link=link)
            for n, at_us, payload, salt, digest, link in found
        )

    async def _write(
        self,
        function: str,
        name: str,
        *values: Any,
        note: Callable[[], AuditNote | None] | None = None,
        apart: bool = False,
        undo: Callable[[Call], Call] | None = None,
    ) -> TupleRow:
        """Call a function that writes, once more if it turns out to need what the audit log says of it."""
        audit = self._database.audit
        while True:
            chained = () if note is None else _triple(note() if audit.is_kept else None)
            call = self._database.statements.call(function, self._user, name, *values, *chained)
            job = Call(call, key=(self._user, name), apart=apart, chained=any(chained))
            try:
                row = await self._database.lanes.write(job)
            except anyio.get_cancelled_exc_class():
                if undo is not None:
                    self._database.lanes.write_later(undo(job))
                raise
            if row[0] != "audit":
                return row
            audit.is_kept = True

    def _undo_claim(self, conversation: str, claim: Call) -> Call:
        """Return what takes a claim back, in the thread, if it has taken place: nobody would know of its lease."""
        database, user = self._database, self._user

        def undo(link: Link) -> Cursor | None:
            answers = claim.result.fetchall() if claim.result else []
            if not answers or answers[0][0] != "done":
                return None
            _, _, fence, seq, _, _, _, has_begun = answers[0]
            note = audit_chain.rewound(conversation, to=seq) if has_begun and database.audit.is_kept else None
            first = seq + 1 if has_begun else None
            return link.execute(database.statements["undo_claim"], (user, conversation, fence, first, *_triple(note)))

        return Call(undo, key=(user, conversation), apart=True)


def _values(write: Append) -> tuple[Any, ...]:
    """Return what the function `append` takes, after the user and before what is chained."""
    records = write.records
    return (
        write.lease.conversation,
        write.lease.fence,
        integer(write.expected_seq),
        texts([new.record_id for new in records]),
        texts([new.kind for new in records]),
        blobs([new.body for new in records]),
        integers([new.tokens for new in records]),
        write.state,
        write.open_turn,
        write.release,
    )


def _info(
    conversation: str, records: int, state: TurnState, created_at: float, updated_at: float, title: str
) -> ConversationInfo:
    return ConversationInfo(
        conversation=conversation,
        records=records,
        state=state,
        created_at=created_at,
        updated_at=updated_at,
        title=title,
    )


def _nothing() -> None:
    """Return what the audit log says of a claim that begins no turn."""


def _triple(note: AuditNote | None) -> tuple[bytes | None, ...]:
    return (None, None, None) if note is None else (note.payload, note.salt, note.digest)


def _check_appended(write: Append, status: str, found: int) -> None:
    """Raise LeaseLost or ConversationConflict for a write that was refused."""
    conversation = write.lease.conversation
    if status == "lost":
        raise LeaseLost(conversation)
    if status == "conflict":
        raise ConversationConflict(conversation, expected=write.expected_seq, found=found)

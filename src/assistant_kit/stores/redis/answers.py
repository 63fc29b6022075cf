"""What the scripts answer, as the values and errors of the contract."""

from dataclasses import dataclass
from typing import Any, cast

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    LeaseLost,
    StoreCorrupt,
    UnreadableEntry,
)
from assistant_kit.protocols.store import ConversationInfo, Lease, Record, TurnState, Unfinished
from assistant_kit.stores._rules import begun, check_place
from assistant_kit.stores.redis.calls import Reply
from assistant_kit.stores.redis.keys import unescaped

_FIELDS = 6  # of a conversation in a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Records, the newest first. There may be older ones that fit, in the same segment, if `more`."""

    segment: bytes
    records: list[Record]
    more: bool


def done(reply: Reply, conversation: str, *, new: str = "", expected: int = 0) -> Reply:
    """Return what belongs to a good answer. Raises what the answer says otherwise.

    `new` is the conversation that was to be made, `expected` the place at which something was to be done.
    """
    match reply:
        case [b"OK", *rest]:
            return rest
        case [b"BUSY", micros]:
            raise ConversationBusy(conversation, _seconds(micros))
        case [b"CONFLICT", found]:
            raise ConversationConflict(conversation, expected=expected, found=int(found))
        case [b"RANGE", records]:
            check_place(conversation, expected, records=int(records))
        case [b"EXISTS"]:
            raise ConversationExists(new)
        case [b"LOST"]:
            raise LeaseLost(conversation)
        case [b"HEAD" | b"TIME", *_]:
            raise StoreCorrupt(f"the last link of the audit chain is damaged (at conversation {conversation!r})")
        case _:
            pass
    raise ConversationNotFound(conversation)


def lease(reply: Reply, conversation: str, owner: str) -> Lease:
    """Return the lease that was taken. Raises ConversationBusy."""
    at, seq, state, open_turn, has_begun, fence = done(reply, conversation)
    taken = Lease(
        conversation=conversation,
        owner=owner,
        fence=int(fence),
        seq=int(seq),
        at=_seconds(at),
        state=_state(state),
        open_turn=int(open_turn) if open_turn else None,
    )
    return begun(taken) if has_begun else taken


def page(reply: Reply, conversation: str) -> Page | None:
    """Return a page of records; None when the conversation was rewound since the page before."""
    if reply[0] == b"MOVED":
        return None
    segment, top, more, records = done(reply, conversation)
    return Page(
        segment=segment,
        records=[_record(stored, conversation, int(top) - n) for n, stored in enumerate(records)],
        more=bool(more),
    )


def _record(stored: bytes, conversation: str, seq: int) -> Record:
    try:
        tokens, total, fence, at, id_length, kind_length, rest = stored.split(b" ", 6)
        kind_at = int(id_length)
        body_at = kind_at + int(kind_length)
        return Record(
            seq=seq,
            record_id=rest[:kind_at].decode(),
            kind=rest[kind_at:body_at].decode(),
            body=rest[body_at:],
            tokens=int(tokens),
            total_tokens=int(total),
            fence=int(fence),
            at=_seconds(at),
        )
    except ValueError as error:
        raise UnreadableEntry(conversation, seq, "it is not in the form of this store") from error


def place(reply: Reply, conversation: str) -> int | None:
    """Return the seq of a record, or None."""
    (seq,) = done(reply, conversation)
    return int(seq) if seq else None


def infos(reply: Reply) -> tuple[ConversationInfo, ...]:
    """Return what a list of conversations shows."""
    return tuple(_info(*fields) for fields in zip(*[iter(reply[1:])] * _FIELDS, strict=True))


def info(reply: Reply, conversation: str) -> ConversationInfo:
    """Return what lists show of one conversation. Raises ConversationNotFound."""
    return _info(*done(reply, conversation))


def _info(name: bytes, seq: bytes, state: bytes, created: bytes, updated: bytes, title: bytes) -> ConversationInfo:
    return ConversationInfo(
        conversation=unescaped(name.decode()),
        records=int(seq),
        state=_state(state),
        created_at=_seconds(created),
        updated_at=_seconds(updated),
        title=title.decode(),
    )


def links(reply: Reply, after: int) -> tuple[AuditLink, ...]:
    """Return links of an audit chain, the first of which comes `after` that many others."""
    _, missing, entries, payloads = reply
    first = max(0, missing - after)  # of these links that still has a payload
    return tuple(
        _link(after + n, entry, payloads[n - first - 1] if n > first else None)
        for n, entry in enumerate(entries, start=1)
    )


def _link(n: int, entry: bytes, payload: bytes | None) -> AuditLink:
    return AuditLink(
        n=n,
        at_us=int.from_bytes(entry[:8], "big"),
        payload=None if payload is None else payload[16:],
        salt=None if payload is None else payload[:16],
        digest=entry[8:40],
        link=entry[40:],
    )


def unfinished(reply: Reply, state: TurnState) -> list[Unfinished]:
    """Return conversations that nobody holds."""
    found: list[Unfinished] = []
    for member, at in zip(reply[1::2], reply[2::2], strict=True):
        user, _, conversation = member.decode().partition(":")
        found.append(
            Unfinished(user=unescaped(user), conversation=unescaped(conversation), state=state, updated_at=_seconds(at))
        )
    return found


def names(reply: Reply) -> list[str]:
    """Return users."""
    return [name.decode() for name in reply[1]]


def _seconds(micros: bytes) -> float:
    return int(micros) / 1e6


def _state(state: Any) -> TurnState:
    return cast("TurnState", state.decode())

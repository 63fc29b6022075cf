"""The questions behind each operation on the journals of one user."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from assistant_kit import audit_chain
from assistant_kit.audit_chain import FENCE_IS_TIME, AuditNote
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores._rules import name_of_erased, noted, noted_under
from assistant_kit.stores.redis.calls import Question
from assistant_kit.stores.redis.keys import escaped, shard_of

_LONGEST: Final = 1e9  # seconds of a lease: more microseconds would not be exact in Lua

_Note: TypeAlias = Callable[[int | None], AuditNote | None]


class Questions:
    """The questions about one user. `roots` are the root keys of the shards."""

    __slots__ = ("_root", "_shard", "_user")

    def __init__(self, user: str, roots: tuple[str, ...]) -> None:
        self._shard = shard_of(user)
        self._root = roots[self._shard]
        self._user = escaped(user)

    def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None, mark: bytes) -> Question:
        """Take the lease. `mark` is a random name for this claim."""
        return self._about(
            conversation,
            "claim",
            owner,
            _micros(ttl),
            mark,
            *(() if begin is None else _stored([begin])),
            note=None if begin is None else lambda _: noted_under(FENCE_IS_TIME, conversation, (begin,)),
        )

    def undo_claim(self, conversation: str, *, begin: NewRecord | None, mark: bytes) -> Question:
        """Take a claim back, with the turn that it has begun, whether or not its answer was ever heard."""
        record_id = "" if begin is None else begin.record_id

        def note(place: int | None) -> AuditNote | None:
            return None if place is None else audit_chain.rewound(conversation, to=place)

        return self._about(conversation, "undo", mark, record_id, note=note)

    def renew(self, lease: Lease, ttl: float) -> Question:
        """Let the lease last."""
        return self._about(lease.conversation, "renew", lease.fence, _micros(ttl))

    def release(self, lease: Lease) -> Question:
        """Give the lease up."""
        return self._about(lease.conversation, "release", lease.fence)

    def append(self, write: Append) -> Question:
        """Write records."""
        return self._about(
            write.lease.conversation,
            "append",
            write.lease.fence,
            write.expected_seq,
            write.state,
            "" if write.open_turn is None else write.open_turn,
            int(write.release),
            *_stored(write.records),
            note=lambda _: noted(write),
        )

    def read(
        self,
        conversation: str,
        *,
        top: int | None,
        bottom: int,
        max_tokens: int | None,
        limit: int | None,
        segment: bytes,
    ) -> Question:
        """Return a page of the newest records that fit the limits."""
        limits = ("" if limit is None else limit for limit in (max_tokens, limit))
        return self._about(conversation, "read", "" if top is None else top, bottom, *limits, segment)

    def locate(self, conversation: str, record_id: str) -> Question:
        """Return the seq of a record."""
        return self._about(conversation, "locate", record_id)

    def info(self, conversation: str) -> Question:
        """Return what lists show of a conversation."""
        return self._about(conversation, "info")

    def conversations(self, *, limit: int, before: float | None) -> Question:
        """Return conversations, the last changed first."""
        newest = "+inf" if before is None else f"({before * 1e6:.0f}"
        return self._about_all("conversations", newest, limit)

    def rename(self, conversation: str, title: str) -> Question:
        """Set the title."""
        return self._about(conversation, "rename", title, note=lambda _: audit_chain.renamed(conversation, title))

    def fork(self, conversation: str, new: str, *, at: int) -> Question:
        """Make a conversation of the first records of another."""
        source, made = escaped(conversation), escaped(new)
        return Question(
            script="fork",
            keys=(self._root, self._key(source), self._key(made)),
            user=self._user,
            subject=made,
            args=(at, source),
            note=lambda _: audit_chain.forked(new, source=conversation, at=at),
        )

    def rewind(self, lease: Lease, *, to: int) -> Question:
        """Let the conversation go on after its record `to`."""
        return self._about(
            lease.conversation,
            "rewind",
            lease.fence,
            to,
            note=lambda _: audit_chain.rewound(lease.conversation, to=to),
        )

    def delete(self, conversation: str) -> Question:
        """Delete a conversation."""
        return self._about(conversation, "delete", note=lambda _: audit_chain.deleted(conversation))

    def erase(self) -> Question:
        """Delete all of the user."""
        # The chain is renamed within the user's slot: the made-up user has to be of the same shard.
        nameless = next(name for name in _names_of_erased() if shard_of(name) == self._shard)
        return self._about_all("erase", nameless, note=lambda _: audit_chain.erased())

    def audit_log(self, *, after: int, limit: int) -> Question:
        """Return links of the audit chain."""
        return self._about_all("log", after, limit)

    def _about(self, conversation: str, script: str, *args: str | bytes | int, note: _Note | None = None) -> Question:
        subject = escaped(conversation)
        return Question(
            script=script,
            keys=(self._root, self._key(subject)),
            user=self._user,
            subject=subject,
            args=args,
            note=note,
        )

    def _about_all(self, script: str, *args: str | int, note: _Note | None = None) -> Question:
        return Question(script=script, keys=(self._root,), user=self._user, args=args, note=note)

    def _key(self, conversation: str) -> str:
        return f"{self._root}:conversation:{self._user}:{conversation}"


def unfinished(root: str, *, state: str, limit: int) -> Question:
    """Return conversations of a shard in this state that nobody holds."""
    return Question(script="unfinished", keys=(root,), args=(state, limit))


def users(root: str, *, after: str, limit: int) -> Question:
    """Return users of a shard."""
    return Question(script="names", keys=(root,), args=(after, limit))


def _stored(records: Iterable[NewRecord]) -> Iterator[str | bytes | int]:
    for new in records:
        record_id, kind = new.record_id.encode(), new.kind.encode()
        yield new.tokens
        yield record_id
        yield b"%d %d %b%b%b" % (len(record_id), len(kind), record_id, kind, new.body)


def _names_of_erased() -> Iterator[str]:
    while True:
        yield name_of_erased()


def _micros(seconds: float) -> int:
    return int(min(seconds, _LONGEST) * 1e6)

"""A store in Redis or Valkey, shared by many machines."""

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NoReturn, Self

import anyio

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import ConfigurationError, NotTransactional, UnknownStore
from assistant_kit.protocols.store import (
    Append,
    ConversationInfo,
    Lease,
    NewRecord,
    Record,
    TurnState,
    Unfinished,
    UserStore,
)
from assistant_kit.redis_address import SCHEMES, Address
from assistant_kit.stores._rules import check_append, check_claim, check_name, check_title, check_ttl
from assistant_kit.stores.redis import answers, questions
from assistant_kit.stores.redis.calls import Reply
from assistant_kit.stores.redis.client import Client
from assistant_kit.stores.redis.durability import Durability
from assistant_kit.stores.redis.keys import SHARDS, roots
from assistant_kit.stores.redis.server import Terms

_MOST: Final = 2**31 - 1  # of anything that is asked for at once
_LINKS: Final = 1000  # of an audit chain in one answer
_EXTRA: Final = 4  # users beyond its share that a shard is asked for, as they are spread by chance


class RedisStore:
    """Journals in the server at `url`: `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `valkey://…`.

    `prefix` begins every key. `durability`: with "durable" an acknowledged write survives a power cut, with "everysec"
    the last second or two may be lost, with "volatile" everything may be; a server whose settings do not keep that is
    refused. With `audit`, writes add links to the users' audit chains, from now on. `timeout` is how many seconds to
    wait for the server.

    Event loops and threads may share a store. Raises ConfigurationError.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "assistant_kit",
        durability: Durability = "durable",
        audit: bool = False,
        timeout: float = 10.0,
    ) -> None:
        if durability not in ("durable", "everysec", "volatile"):
            raise ConfigurationError(f"durability is 'durable', 'everysec' or 'volatile', not {durability!r}")
        if not 0 < timeout < _MOST:
            raise ConfigurationError(f"a timeout is a positive number of seconds, not {timeout!r}")
        self._roots = roots(prefix)
        address = Address(url, timeout=timeout, of="RedisStore")
        self._client = Client(
            Terms(address=address, roots=self._roots, durability=durability, audit=audit, timeout=timeout)
        )

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return a store for `redis://…`, `rediss://…`, `valkey://…` or `valkeys://…`. Raises ConfigurationError."""
        if address.partition("://")[0] not in SCHEMES:
            raise UnknownStore(address, [f"{scheme}://" for scheme in SCHEMES])
        return cls(address)

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return _UserStore(self._client, questions.Questions(user, self._roots))

    async def open(self) -> None:
        """Connect, and see that writes will last. Raises StoreError, StoreVolatile."""
        await self._client.write(None, _nothing)

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations in this state that nobody holds, the longest unchanged first."""
        count = _within(limit)
        found = await self._client.read_all(
            [questions.unfinished(root, state=state, limit=count) for root in self._roots],
            partial(answers.unfinished, state=state),
        )
        return tuple(sorted(chain(*found), key=attrgetter("updated_at"))[:count])

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in order."""
        wanted, share = _within(limit), _within(limit) // SHARDS + _EXTRA
        found: list[str] = []
        more = True
        while more and len(found) < wanted:
            asked = [questions.users(root, after=after, limit=share) for root in self._roots]
            parts = await self._client.read_all(asked, answers.names)
            # A shard that gave its share may have more beyond its last one; up to the first such place all are here.
            ends = [part[-1] for part in parts if len(part) == share]
            more = bool(ends)
            after = min(ends, default=after)
            found += sorted(name for name in chain(*parts) if not more or name <= after)
        return tuple(found[:wanted])

    async def aclose(self) -> None:
        """Write what still waits and end the threads. A second call does nothing."""
        await self._client.aclose()


class _UserStore:
    """The journals of one user."""

    __slots__ = ("_client", "_questions")

    def __init__(self, client: Client, about: questions.Questions) -> None:
        self._client = client
        self._questions = about

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new. Raises ConversationBusy, InputError."""
        check_claim(conversation, owner, ttl, begin)
        mark = os.urandom(8)
        question = self._questions.claim(conversation, owner=owner, ttl=ttl, begin=begin, mark=mark)
        try:
            return await self._client.write(question, partial(answers.lease, conversation=conversation, owner=owner))
        except anyio.get_cancelled_exc_class():
            # It stands in the queue or is done: nobody would know the lease that it takes.
            self._client.write_later(self._questions.undo_claim(conversation, begin=begin, mark=mark))
            raise

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        check_ttl(ttl)
        await self._client.write(self._questions.renew(lease, ttl), _done(lease.conversation))

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        await self._client.write(self._questions.release(lease), _done(lease.conversation))

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return. Raises LeaseLost, ConversationConflict, InputError.

        The task may be cancelled: the write takes place nevertheless, or not at all; append it again to be sure.
        """
        check_append(write)
        answer = _done(write.lease.conversation, expected=write.expected_seq)
        await self._client.write(self._questions.append(write), answer)

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> NoReturn:
        """Raise NotTransactional: a script cannot wait for what a tool does."""
        del lease, work
        raise NotTransactional("transact", "the store is in Redis, which has no transactions that a tool could use")

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
        top = None if before is None else before - 1
        found = await self._pages(conversation, top, max(0, after) + 1, max_tokens, limit)
        while found is None:  # the conversation was rewound between two pages
            found = await self._pages(conversation, top, max(0, after) + 1, max_tokens, limit)
        found.reverse()
        return tuple(found)

    async def _pages(
        self, conversation: str, top: int | None, bottom: int, max_tokens: int | None, limit: int | None
    ) -> list[Record] | None:
        """Return records of one line of descent, the newest first; None if it did not last."""
        found: list[Record] = []
        segment, more = b"", True
        while more:
            question = self._questions.read(
                conversation, top=top, bottom=bottom, max_tokens=max_tokens, limit=limit, segment=segment
            )
            page = await self._client.read(question, partial(answers.page, conversation=conversation))
            if page is None:
                return None
            found += page.records
            if max_tokens is not None:
                max_tokens -= sum(record.tokens for record in page.records)
            if limit is not None:
                limit -= len(page.records)
            more = page.more and (limit is None or limit > 0)
            segment, top = page.segment, found[-1].seq - 1 if found else top
        return found

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        check_name("conversation", conversation)
        check_name("record id", record_id)
        question = self._questions.locate(conversation, record_id)
        return await self._client.read(question, partial(answers.place, conversation=conversation))

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        return await self._client.read(
            self._questions.info(conversation), partial(answers.info, conversation=conversation)
        )

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first."""
        question = self._questions.conversations(limit=_within(limit), before=before)
        return await self._client.read(question, answers.infos)

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the order of the list stays. Raises ConversationNotFound, InputError."""
        check_name("conversation", conversation)
        check_title(title)
        await self._client.write(self._questions.rename(conversation, title), _done(conversation))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        check_name("conversation", conversation)
        check_name("conversation", new)
        answer = _done(conversation, new=new, expected=at)
        await self._client.write(self._questions.fork(conversation, new, at=at), answer)

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`. Raises LeaseLost, InputError."""
        await self._client.write(self._questions.rewind(lease, to=to), _done(lease.conversation, expected=to))

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        check_name("conversation", conversation)
        await self._client.write(self._questions.delete(conversation), _done(conversation))

    async def erase(self) -> int:
        """Delete all that is kept of this user, and return the number of conversations.

        The append-only file holds it until it is written anew: BGREWRITEAOF.
        """
        return await self._client.write(self._questions.erase(), lambda reply: int(answers.done(reply, "")[0]))

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the user's audit chain, in order."""
        found: list[AuditLink] = []
        first, wanted = max(0, after), _within(limit)
        while len(found) < wanted:
            count = min(_LINKS, wanted - len(found))
            start = first + len(found)
            question = self._questions.audit_log(after=start, limit=count)
            links = await self._client.read(question, partial(answers.links, after=start))
            found += links
            if len(links) < count:
                break
        return tuple(found)


def _done(conversation: str, *, new: str = "", expected: int = 0) -> Callable[[Reply], Reply]:
    return partial(answers.done, conversation=conversation, new=new, expected=expected)


def _nothing(reply: Reply) -> None:
    del reply


def _within(limit: int) -> int:
    return min(max(0, limit), _MOST)

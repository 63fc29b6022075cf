"""Writes conversations out as lines, a page of records at a time."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from assistant_kit.errors import ConversationConflict, ConversationNotFound, UnreadableEntry
from assistant_kit.protocols.memory import Remembered, UserMemory
from assistant_kit.protocols.store import ConversationInfo, Record, UserStore
from assistant_kit.protocols.user_data import Kept, Places
from assistant_kit.registry import is_hidden
from assistant_kit.stores._pages import all_conversations, all_links
from assistant_kit.transfer.belongings import belongings
from assistant_kit.transfer.lines import (
    audit_line,
    conversation_line,
    end_line,
    head_line,
    kept_line,
    memory_line,
    record_line,
)
from assistant_kit.transfer.places import all_kept, all_memories

_PAGE: Final = 100
"""Records read at once."""


async def export_conversation(
    store: UserStore, conversation: str, *, elsewhere: Sequence[UserStore] = ()
) -> AsyncGenerator[str, None]:
    """Return a conversation as lines, each with its end of line; what belongs to it comes before it.

    Turns of nested assistants are looked for in the stores `elsewhere`, too. What is written meanwhile is left out.
    Raises ConversationNotFound, and ConversationConflict when the conversation was rewound or deleted meanwhile: export
    it again.
    """
    newest = await store.read(conversation, limit=1)
    upto = newest[-1].seq if newest else 0
    async with aclosing(belongings((store, *elsewhere), conversation, upto=upto)) as found:
        places = [place async for place in found]
    infos = [(place, await _info(place, name)) for place, name in places]
    own = await _info(store, conversation)
    async with aclosing(_Export().lines_of(infos, (store, own, newest))) as lines:
        async for line in lines:
            yield line


async def export_user(store: UserStore, memory: UserMemory | None = None) -> AsyncGenerator[str, None]:
    """Return all conversations of a user, the audit chain and the memories as lines, each with its end of line.

    Hidden conversations, which others need, come first, then those of the user, the one that was changed first in
    front. Conversations that are made meanwhile are left out, and so is what is written meanwhile. Raises
    ConversationConflict when a conversation is rewound or deleted while it is exported.
    """
    memories = () if memory is None else (all_memories(memory),)
    async with aclosing(_Export().lines((store,), memories)) as lines:
        async for line in lines:
            yield line


async def export_places(places: Places, user: str) -> AsyncGenerator[str, None]:
    """Return all that is kept of a user in these places as lines, each with its end of line.

    What can be reached in two ways comes once. The rest is as `export_user` does it. Raises ConversationConflict,
    StoreError.
    """
    # Those of nested assistants first: the others need what is in them.
    stores = [store.for_user(user) for store in reversed(places.stores)]
    async with aclosing(_Export().lines(stores, (all_kept(places, user),))) as lines:
        async for line in lines:
            yield line


class _Export:
    """The lines of one export, and what was written so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ends: dict[str, Record | None] = {}
        self._chains: set[bytes] = set()

    async def lines(
        self, stores: Sequence[UserStore], kept: Iterable[AsyncGenerator[Kept, None]]
    ) -> AsyncGenerator[str, None]:
        yield head_line()
        for part in (*map(self._of_store, stores), *map(self._of_keepers, kept)):
            async with aclosing(part) as lines:
                async for line in lines:
                    yield line
        yield self._end()

    def _end(self) -> str:
        return end_line(**self._counts)

    async def lines_of(
        self,
        others: Iterable[tuple[UserStore, ConversationInfo]],
        last: tuple[UserStore, ConversationInfo, Sequence[Record]],
    ) -> AsyncGenerator[str, None]:
        """Return the lines of some conversations, the last one up to a record."""
        yield head_line()
        for part in (*(self._of_conversation(*other) for other in others), self._up_to(*last)):
            async with aclosing(part) as lines:
                async for line in lines:
                    yield line
        yield self._end()

    async def _of_store(self, store: UserStore) -> AsyncGenerator[str, None]:
        for info in sorted([info async for info in all_conversations(store)], key=_place):
            async with aclosing(self._of_conversation(store, info)) as lines:
                async for line in lines:
                    yield line
        async with aclosing(all_links(store)) as chain:
            async for link in chain:
                if link.n == 1 and link.link in self._chains:
                    return  # two stores are one place
                self._chains |= {link.link} if link.n == 1 else set()
                self._counts["links"] += 1
                yield audit_line(link)

    async def _of_conversation(self, store: UserStore, info: ConversationInfo) -> AsyncGenerator[str, None]:
        try:
            records = await store.read(info.conversation, limit=1)
        except ConversationNotFound:  # deleted since it was listed
            return
        newest = records[-1] if records else None
        if info.conversation in self._ends and self._ends[info.conversation] == newest:
            return  # two stores are one place
        self._ends[info.conversation] = newest
        async with aclosing(self._up_to(store, info, records)) as lines:
            async for line in lines:
                yield line

    async def _up_to(
        self, store: UserStore, info: ConversationInfo, newest: Sequence[Record]
    ) -> AsyncGenerator[str, None]:
        self._counts["conversations"] += 1
        self._counts["records"] += newest[-1].seq if newest else 0
        async with aclosing(_conversation(store, info, newest)) as lines:
            async for line in lines:
                yield line

    async def _of_keepers(self, found: AsyncGenerator[Kept, None]) -> AsyncGenerator[str, None]:
        async with aclosing(found):
            async for kept in found:
                is_memory = isinstance(kept, Remembered)
                self._counts["memories" if is_memory else "kept"] += 1
                yield memory_line(kept) if is_memory else kept_line(kept)


def _place(info: ConversationInfo) -> tuple[bool, float]:
    """Return where a conversation stands: hidden ones first, the last made in front, as older ones may need them."""
    hidden = is_hidden(info.conversation)
    return not hidden, -info.created_at if hidden else info.updated_at


async def _info(store: UserStore, conversation: str) -> ConversationInfo:
    async with aclosing(all_conversations(store)) as infos:
        async for info in infos:
            if info.conversation == conversation:
                return info
    raise ConversationNotFound(conversation)


async def _conversation(
    store: UserStore, info: ConversationInfo, newest: Sequence[Record]
) -> AsyncGenerator[str, None]:
    """Return the lines of a conversation up to its record `newest`."""
    yield conversation_line(info, records=newest[-1].seq if newest else 0)
    after = 0
    while newest and after < newest[-1].seq:
        page = await _page(store, info.conversation, after, newest[-1])
        for record in page:
            yield record_line(info.conversation, record)
        after = page[-1].seq


async def _page(store: UserStore, conversation: str, after: int, newest: Record) -> Sequence[Record]:
    """Return the next records up to `newest`, of the same history as the ones before.

    Raises ConversationConflict, UnreadableEntry.
    """
    try:
        page = await store.read(conversation, after=after, before=min(after + _PAGE, newest.seq) + 1)
        # As long as the newest record still stands there, nothing before it was exchanged.
        end = page if page and page[-1].seq == newest.seq else await _at(store, conversation, newest.seq)
    except ConversationNotFound as error:
        raise ConversationConflict(conversation, expected=newest.seq, found=0) from error
    if not end or end[-1] != newest:
        raise ConversationConflict(conversation, expected=newest.seq, found=len(end))
    for seq, record in enumerate(page, start=after + 1):
        if record.seq != seq:
            raise UnreadableEntry(conversation, seq, "it is not there")
    if not page:
        raise UnreadableEntry(conversation, after + 1, "it is not there")
    return page


async def _at(store: UserStore, conversation: str, seq: int) -> Sequence[Record]:
    return await store.read(conversation, after=seq - 1, before=seq + 1)

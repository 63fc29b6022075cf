"""Writes conversations out as lines, a page of records at a time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from assistant_kit.errors import ConversationConflict, ConversationNotFound, UnreadableEntry
from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.store import ConversationInfo, Record, UserStore
from assistant_kit.stores._pages import all_conversations, all_links
from assistant_kit.transfer.lines import audit_line, conversation_line, end_line, head_line, memory_line, record_line

_PAGE: Final = 100
"""Records read at once."""


async def export_conversation(store: UserStore, conversation: str) -> AsyncGenerator[str, None]:
    """Return a conversation as lines, each with its end of line.

    What is written to it meanwhile is left out. Raises ConversationNotFound, and ConversationConflict when the
    conversation was rewound or deleted meanwhile: export it again.
    """
    newest = await store.read(conversation, limit=1)
    info = await _info(store, conversation)
    yield head_line()
    async with aclosing(_conversation(store, info, newest)) as lines:
        async for line in lines:
            yield line
    yield end_line(conversations=1, records=newest[-1].seq if newest else 0, links=0)


async def export_user(store: UserStore, memory: UserMemory | None = None) -> AsyncGenerator[str, None]:
    """Return all conversations of a user, the audit chain and the memories as lines, each with its end of line.

    The conversation that was changed first comes first. Conversations that are made meanwhile are left out, and so
    is what is written meanwhile. Raises ConversationConflict when a conversation is rewound or deleted while it is
    exported.
    """
    yield head_line()
    conversations = records = links = memories = 0
    for info in sorted([info async for info in all_conversations(store)], key=lambda info: info.updated_at):
        try:
            newest = await store.read(info.conversation, limit=1)
        except ConversationNotFound:  # deleted since it was listed
            continue
        conversations += 1
        records += newest[-1].seq if newest else 0
        async with aclosing(_conversation(store, info, newest)) as lines:
            async for line in lines:
                yield line
    async with aclosing(all_links(store)) as chain:
        async for link in chain:
            links += 1
            yield audit_line(link)
    after: str | None = "" if memory is not None else None
    while memory is not None and after is not None:
        page = await memory.memories(limit=_PAGE, after=after)
        for remembered in page:
            memories += 1
            yield memory_line(remembered)
        after = page[-1].id if page else None
    yield end_line(conversations=conversations, records=records, links=links, memories=memories)


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

"""Long lists of a store, read page by page while others write to it."""

import math
from collections.abc import AsyncGenerator

from assistant_kit.audit_chain import AuditLink
from assistant_kit.protocols.store import ConversationInfo, UserStore

PAGE = 500
"""Conversations or links read at once."""


async def all_conversations(store: UserStore) -> AsyncGenerator[ConversationInfo, None]:
    """Return each conversation once, the last changed first; those that change meanwhile may come later.

    A conversation that is written to while the list is read moves to its front, past the reader. So what has changed
    since is read again, until all of it is one page, which nothing can slip past.
    """
    seen: set[str] = set()
    since, whole = -math.inf, False
    while not whole:
        page = await store.conversations(limit=PAGE)
        whole = len(page) < PAGE or page[-1].updated_at <= since
        newest = page[0].updated_at if page else since
        while page:
            for info in page:
                if info.conversation not in seen:
                    seen.add(info.conversation)
                    yield info
            oldest = page[-1].updated_at
            page = await store.conversations(limit=PAGE, before=oldest) if oldest > since else ()
        since = newest


async def all_links(store: UserStore, *, after: int = 0, upto: float = math.inf) -> AsyncGenerator[AuditLink, None]:
    """Return the links of the audit chain with `after` < n <= `upto`."""
    while page := await store.audit_log(after=after, limit=PAGE):
        for link in page:
            if link.n > upto:
                return
            yield link
        if page[-1].n <= after:  # a damaged chain must not be read for ever
            return
        after = page[-1].n

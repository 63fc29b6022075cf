from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

import anyio
import pytest

from assistant_kit.audit_chain import AuditLink
from assistant_kit.protocols.store import ConversationInfo, UserStore
from assistant_kit.stores import _pages
from assistant_kit.stores._pages import all_conversations, all_links

pytestmark = pytest.mark.anyio


class Shelf:
    """Conversations and links, with something that happens before each read."""

    def __init__(self, conversations: int = 0, *, before_read: Callable[["Shelf"], None] = lambda _: None) -> None:
        self.updated = {f"c{n}": float(n) for n in range(conversations)}
        self.links: list[AuditLink] = []
        self.reads = 0
        self._before_read = before_read

    def touch(self, name: str) -> None:
        self.updated[name] = max(self.updated.values()) + 1

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        self._before_read(self)
        self.reads += 1
        infos = [
            ConversationInfo(conversation=name, records=0, state="idle", created_at=0.0, updated_at=updated)
            for name, updated in self.updated.items()
            if before is None or updated < before
        ]
        return sorted(infos, key=lambda info: -info.updated_at)[:limit]

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        self.reads += 1
        return [link for link in self.links if link.n > after][:limit]


async def listed(shelf: Shelf) -> list[str]:
    with anyio.fail_after(10):
        return [info.conversation async for info in all_conversations(cast("UserStore", shelf))]


@pytest.mark.parametrize("conversations", [0, 1, 2, 3, 4, 6, 7])
async def test_every_conversation_is_listed_once(conversations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pages, "PAGE", 3)

    names = await listed(Shelf(conversations))

    assert names == [f"c{n}" for n in reversed(range(conversations))]


async def test_conversations_that_move_past_the_reader_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pages, "PAGE", 3)

    def move(shelf: Shelf) -> None:
        if 1 <= shelf.reads <= 5:
            shelf.touch(f"c{2 * shelf.reads - 1}")
            shelf.touch(f"c{2 * shelf.reads - 2}")

    shelf = Shelf(12, before_read=move)

    names = await listed(shelf)

    assert sorted(names) == sorted(shelf.updated)


async def test_links_are_read_in_pages_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pages, "PAGE", 2)
    shelf = Shelf()
    link = AuditLink(n=1, at_us=0, payload=None, salt=None, digest=b"", link=b"")
    shelf.links = [replace(link, n=n) for n in range(1, 8)]

    async with aclosing(all_links(cast("UserStore", shelf), after=1, upto=5)) as links:
        numbers = [link.n async for link in links]

    assert numbers == [2, 3, 4, 5]


async def test_links_whose_numbers_go_back_are_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pages, "PAGE", 2)

    class Circle(Shelf):
        async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
            return self.links[after : after + limit]

    shelf = Circle()
    link = AuditLink(n=1, at_us=0, payload=None, salt=None, digest=b"", link=b"")
    shelf.links = [replace(link, n=n) for n in (1, 2, 3, 2, 1)]

    with anyio.fail_after(10):
        numbers = [link.n async for link in all_links(cast("UserStore", shelf))]

    assert numbers == [1, 2, 3, 2]

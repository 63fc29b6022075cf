"""Random histories of a user, and copies of what a store holds that a test can tamper with."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from hypothesis import strategies as st

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import ConversationExists, ConversationNotFound
from assistant_kit.protocols.store import Append, ConversationInfo, NewRecord, Record, UserStore
from assistant_kit.stores._pages import all_conversations, all_links

NAMES = ["a", "b", "c"]
_IDS = count()


@dataclass(frozen=True, slots=True)
class Act:
    do: Literal["append", "claim", "fork", "rewind", "rename", "delete", "erase"]
    conversation: str
    other: str = "b"
    number: int = 1


acts = st.builds(
    Act,
    do=st.sampled_from(["append", "append", "append", "claim", "fork", "fork", "rewind", "rename", "delete"]),
    conversation=st.sampled_from(NAMES),
    other=st.sampled_from(NAMES),
    number=st.integers(0, 6),
)
histories = st.lists(acts, max_size=14)


async def carry_out(store: UserStore, act: Act) -> None:
    with suppress(ConversationNotFound, ConversationExists):
        match act.do:
            case "append":
                await append(store, act.conversation, records=act.number % 4 + 1)
            case "claim":
                await store.release(await store.claim(act.conversation, owner="w", ttl=60))
            case "fork":
                await store.fork(act.conversation, act.other, at=await _place(store, act))
            case "rewind":
                to = await _place(store, act)
                lease = await store.claim(act.conversation, owner="w", ttl=60)
                await store.rewind(lease, to=to)
                await store.release(lease)
            case "rename":
                await store.rename(act.conversation, "x" * act.number)
            case "delete":
                await store.delete(act.conversation)
            case "erase":
                await store.erase()


async def append(store: UserStore, conversation: str, *, records: int = 1) -> None:
    lease = await store.claim(conversation, owner="w", ttl=60)
    new = [
        NewRecord(record_id=f"r{next(_IDS)}", kind="note", body=b"%d" % next(_IDS), tokens=n) for n in range(records)
    ]
    await store.append(
        Append(lease=lease, expected_seq=lease.seq, records=new, state="idle", open_turn=None, release=True)
    )


async def _place(store: UserStore, act: Act) -> int:
    return act.number % (len(await store.read(act.conversation)) + 1)


@dataclass(slots=True)
class Copied:
    """What a store holds of a user, in lists. It is read like a store, without any care for what it holds."""

    links: list[AuditLink] = field(default_factory=list[AuditLink])
    infos: list[ConversationInfo] = field(default_factory=list[ConversationInfo])
    records: dict[str, list[Record]] = field(default_factory=dict[str, list[Record]])

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        return [link for link in self.links if link.n > after][:limit]

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        return [info for info in self.infos if before is None or info.updated_at < before][:limit]

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        assert max_tokens is None
        if conversation not in self.records:
            raise ConversationNotFound(conversation)
        kept = self.records[conversation]
        found = [record for record in kept if after < record.seq and (before is None or record.seq < before)]
        return found if limit is None else found[len(found) - min(limit, len(found)) :]

    def forget(self, conversation: str) -> None:
        self.infos = [info for info in self.infos if info.conversation != conversation]
        self.records.pop(conversation, None)

    def change_title(self, conversation: str, title: str) -> None:
        self.infos = [replace(info, title=title) if info.conversation == conversation else info for info in self.infos]


async def copy_of(store: UserStore) -> Copied:
    infos = [info async for info in all_conversations(store)]
    links = [link async for link in all_links(store)]
    records = {info.conversation: list(await store.read(info.conversation)) for info in infos}
    return Copied(links=links, infos=infos, records=records)

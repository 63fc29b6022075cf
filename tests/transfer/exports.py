"""Stores to export from and to import into."""

from collections.abc import Sequence
from typing import Any

from assistant_kit.protocols.store import Append, NewRecord, Record, TurnState, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.transfer import export_user


def new_store(*, audit: bool = False) -> UserStore:
    return MemoryStore(audit=audit).for_user("u")


async def write(store: UserStore, conversation: str, records: Sequence[NewRecord], *, seq: int = 0) -> None:
    lease = await store.claim(conversation, owner="w", ttl=60)
    await store.append(
        Append(lease=lease, expected_seq=seq, records=records, state="idle", open_turn=None, release=True)
    )


def notes(count: int, *, first: int = 1, kind: str = "note", body: bytes = b'{"n":1}') -> list[NewRecord]:
    return [NewRecord(record_id=f"r{n}", kind=kind, body=body, tokens=n) for n in range(first, first + count)]


def kept(records: Sequence[Record]) -> list[tuple[int, str, str, bytes, int, int]]:
    return [(r.seq, r.record_id, r.kind, r.body, r.tokens, r.total_tokens) for r in records]


async def everything(store: UserStore) -> dict[str, Any]:
    infos = await store.conversations(limit=1000)
    return {info.conversation: (info.title, kept(await store.read(info.conversation))) for info in infos}


async def exported(store: UserStore) -> list[str]:
    return [line async for line in export_user(store)]


class Meanwhile:
    """Lets something be done before the nth read of records."""

    def __init__(self, store: UserStore, acts: dict[int, Any]) -> None:
        self._store = store
        self._acts = acts
        self._reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
        self._reads += 1
        if self._reads in self._acts:
            await self._acts[self._reads]()
        return await self._store.read(conversation, **window)


async def state_after(store: UserStore, conversation: str = "c") -> tuple[TurnState, int | None]:
    lease = await store.claim(conversation, owner="w", ttl=60)
    return lease.state, lease.open_turn

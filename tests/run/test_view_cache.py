"""What a process keeps of conversations it has used lately."""

from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest

from assistant_kit import Assistant
from assistant_kit.protocols.store import Record, Store, UserStore
from assistant_kit.run.view_cache import KeptView, ViewCache
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.view import View


def kept(tokens: int, *, fence: int = 7, seq: int = 5) -> KeptView:
    return KeptView(view=View(tokens=tokens), fence=fence, seq=seq, record_id="last", counted_by="c")


def test_what_was_kept_is_taken_once_by_who_finds_as_many_records_and_counts_alike() -> None:
    for seq, counter, found in ((5, "c", True), (6, "c", False), (5, "d", False)):
        cache = ViewCache(100)
        cache.keep("u", "c1", kept(10))
        assert (cache.take("u", "c1", seq=seq, counted_by=counter) == kept(10)) is found
        assert cache.take("u", "c1", seq=seq, counted_by=counter) is None


def test_it_stands_when_the_lease_was_given_up_and_taken_by_nobody_else() -> None:
    assert [fence for fence in range(5, 12) if kept(10).stands(fence)] == [9]


def test_users_and_conversations_are_kept_apart() -> None:
    cache = ViewCache(100)
    cache.keep("u", "c1", kept(10))
    assert cache.take("v", "c1", seq=5, counted_by="c") is None
    assert cache.take("u", "c2", seq=5, counted_by="c") is None


def test_those_that_were_used_longest_ago_leave_when_there_are_too_many_tokens() -> None:
    cache = ViewCache(100)
    for name in "abc":
        cache.keep("u", name, kept(40))
    cache.keep("u", "huge", kept(101))
    cache.keep("u", "c", kept(50))
    found = [name for name in ("a", "b", "c", "huge") if cache.take("u", name, seq=5, counted_by="c")]
    assert found == ["b", "c"]


def test_what_is_forgotten_is_gone_and_its_room_is_free() -> None:
    cache = ViewCache(100)
    for name in "abc":
        cache.keep("u", name, kept(30))
    cache.keep("v", "a", kept(5))
    cache.forget("u", "a")
    cache.forget("u", "nothing")
    assert cache.take("u", "a", seq=5, counted_by="c") is None
    cache.forget("u")
    cache.keep("w", "a", kept(95))
    assert cache.take("u", "b", seq=5, counted_by="c") is None
    assert cache.take("v", "a", seq=5, counted_by="c") == kept(5)
    assert cache.take("w", "a", seq=5, counted_by="c") == kept(95)


class Reading:
    """A store that counts what is read of its journals."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def for_user(self, user: str) -> Any:
        return _ReadingUser(self, self._store.for_user(user))


class _ReadingUser:
    def __init__(self, outer: Reading, inner: UserStore) -> None:
        self._outer = outer
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, conversation: str, **named: Any) -> Sequence[Record]:
        records = await self._inner.read(conversation, **named)
        self._outer.read += len(records)
        return records


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "redis"])
async def test_a_turn_need_not_read_its_conversation_again(
    kind: str, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    def opened() -> Store:
        match kind:
            case "memory":
                return MemoryStore()
            case "sqlite":
                return SQLiteStore(tmp_path / "chat.db")
            case "postgres":
                return PostgresStore(request.getfixturevalue("postgres_url"))
            case _:
                return RedisStore(request.getfixturevalue("valkey_url"))

    inner = opened()
    store = Reading(inner)
    user = f"reader {tmp_path.name}"
    with anyio.fail_after(20):
        mine, other = (Assistant(ScriptedModel(["ok"] * 9), store=cast("Store", store)) for _ in range(2))
        for number in range(4):
            before = store.read
            await mine.run(str(number), user=user, conversation="c")
            assert store.read - before <= 1  # at most a look at the last record
            await mine.run(str(number), user=user, conversation="beside")
        await other.run("meanwhile", user=user, conversation="c")
        before = store.read
        await mine.run("5", user=user, conversation="c")
        assert store.read - before > 10
        await inner.aclose()

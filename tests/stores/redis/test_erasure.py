"""Nothing of an erased user is left: not in a key, not in a value, and not on disk once the file was written anew."""

# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

from assistant_kit.audit_chain import digest_of
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.redis import RedisStore
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio

MARK = "canary"


def keys(server: Any) -> list[bytes]:
    return sorted(server.keys("*"))


def everything(server: Any) -> Iterator[bytes]:
    """All keys and values of a server; another type of value than those a store has is an error."""
    for key in keys(server):
        yield key
        match server.type(key):
            case b"hash":
                for field, value in server.hgetall(key).items():
                    yield from (field, value)
            case b"list":
                yield from server.lrange(key, 0, -1)
            case kind:
                assert kind == b"zset"
                yield from server.zrange(key, 0, -1)


async def live(store: RedisStore, name: str) -> None:
    """Leave something of a user in every place there is."""
    user = store.for_user(f"{name}-user")
    lease = await user.claim(
        f"{name}-c", owner=f"{name}-owner", ttl=60, begin=NewRecord(record_id=f"{name}-1", kind="k", body=b"x")
    )
    new = NewRecord(record_id=f"{name}-2", kind=f"{name}-kind", body=f"{name}-body".encode())
    await user.append(Append(lease=lease, expected_seq=1, records=[new], state="waiting", open_turn=1))
    await user.rename(f"{name}-c", f"{name}-title")
    await user.fork(f"{name}-c", f"{name}-fork", at=2)
    await user.rewind(lease, to=1)
    await user.claim(f"{name}-parked", owner="w", ttl=60)
    deleted = await user.claim(f"{name}-deleted", owner="w", ttl=60)
    await user.release(deleted)
    await user.delete(f"{name}-deleted")


@pytest.mark.parametrize("audit", [False, True])
async def test_of_an_erased_user_no_key_and_no_value_is_left(tmp_path: Path, *, audit: bool) -> None:
    plain = {"--rdbcompression": "no"}  # so that a word is found where it is
    with (
        running_valkey(folder=tmp_path, options=plain) as url,
        redis.Redis.from_url(url) as server,
        anyio.fail_after(60),
    ):
        store = RedisStore(url, audit=audit)
        await live(store, "other")
        before = [key for key in keys(server) if b"other" in key]
        await live(store, MARK)
        user = store.for_user(f"{MARK}-user")
        links = await user.audit_log()
        assert any(MARK.encode() in each for each in everything(server))

        assert await user.erase() == 3

        assert not [each for each in everything(server) if MARK.encode() in each]
        assert [key for key in keys(server) if b"other" in key] == before
        erased, *users = await store.users() if audit else ["", *await store.users()]
        assert users == ["other-user"]
        if audit:
            kept = await store.for_user(erased).audit_log()
            assert [link.link for link in kept[:-1]] == [link.link for link in links]
            assert {link.payload for link in kept[:-1]} == {None}
            assert digest_of(kept[-1].payload or b"", kept[-1].salt or b"") == kept[-1].digest
            assert not [link for link in links if any((link.salt or b"-") in each for each in everything(server))]

        server.bgrewriteaof()
        while server.info("persistence")["aof_rewrite_in_progress"]:  # noqa: ASYNC110  (a child of the server writes)
            await anyio.sleep(0.01)
        await store.aclose()

    files = [path.read_bytes() for path in (tmp_path / "appendonlydir").iterdir()]
    assert any(b"other-title" in content for content in files)
    assert not any(MARK.encode() in content for content in files)

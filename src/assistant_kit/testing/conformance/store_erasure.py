"""Tests of a user who is erased."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import anyio
import pytest

from assistant_kit.errors import ConversationNotFound, LeaseLost
from assistant_kit.protocols.store import Store, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    PATIENCE,
    StoreWorkbench,
    claimed,
    filled,
    ids,
    new,
    writing,
)

EVERYTHING = 1_000_000
"""A limit beyond whatever else the place holds."""


class StoreErasure(StoreWorkbench):
    """Of an erased user nothing is left, whoever was at work; all others are untouched."""

    async def test_nothing_of_an_erased_user_can_be_read(self, store: Store, prefix: str) -> None:
        user = store.for_user(prefix)
        await user.release(await filled(user, 1, 1, conversation="c1"))
        await user.fork("c1", "c2", at=1)
        await user.rewind(await filled(user, 1, 1, conversation="c3"), to=1)

        erased = await user.erase()

        assert erased == 3
        assert not await user.conversations()
        for name in ("c1", "c2", "c3"):
            assert await user.locate(name, "r1") is None
            with pytest.raises(ConversationNotFound):
                await user.read(name)
            with pytest.raises(ConversationNotFound):
                await user.rename(name, "title")
            with pytest.raises(ConversationNotFound):
                await user.fork(name, "new", at=0)
        assert not [found for found in await store.unfinished(limit=EVERYTHING) if found.user == prefix]
        assert prefix not in await store.users(after=prefix[:-1], limit=1)

    async def test_other_users_are_untouched(self, alice: UserStore, bob: UserStore) -> None:
        await filled(alice, 1, conversation="c1")
        theirs = [await filled(bob, 1, 2, conversation=name) for name in ("c1", "c2")]
        await bob.fork("c1", "d", at=1)
        before = await bob.conversations()

        await alice.erase()

        assert await bob.conversations() == before
        for lease in theirs:
            await bob.append(writing(lease, 2, new("r3")))
            assert ids(await bob.read(lease.conversation)) == ["r1", "r2", "r3"]
        assert ids(await bob.read("d")) == ["r1"]

    async def test_leases_of_an_erased_user_are_lost(self, alice: UserStore) -> None:
        lease = await filled(alice, 1)

        await alice.erase()

        with pytest.raises(LeaseLost):
            await alice.append(writing(lease, 1, new("a")))
        with pytest.raises(LeaseLost):
            await alice.append(writing(lease, 0, new("r1")))
        with pytest.raises(LeaseLost):
            await alice.renew(lease, ttl=60)
        with pytest.raises(LeaseLost):
            await alice.rewind(lease, to=0)
        await alice.release(lease)
        assert not await alice.conversations()

    async def test_an_erased_user_may_come_back_and_begins_anew(self, alice: UserStore) -> None:
        old = await filled(alice, 1, 2)
        await alice.rename("c", "old title")
        await alice.erase()

        lease = await alice.claim("c", owner="w2", ttl=60, begin=new("r1", tokens=5))

        assert (lease.begun, lease.seq) == (True, 1)
        assert lease.fence > old.fence
        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 1, new("zombie")))
        await alice.release(old)
        assert [(record.record_id, record.total_tokens) for record in await alice.read("c")] == [("r1", 5)]
        assert [(info.records, info.title) for info in await alice.conversations()] == [(1, "")]

    async def test_erasing_again_finds_nothing(self, alice: UserStore) -> None:
        assert await alice.erase() == 0
        await claimed(alice)
        assert await alice.erase() == 1
        assert await alice.erase() == 0

    async def test_an_erasure_among_writes_leaves_nothing_of_what_was_written_before(self, alice: UserStore) -> None:
        leases = [await filled(alice, 1, conversation=f"c{n}") for n in range(10)]
        written: list[str] = []

        async def write(n: int) -> None:
            for at in range(1, 6):
                try:
                    await alice.append(writing(leases[n], at, new(f"x{at}")))
                except LeaseLost:
                    return
            written.append(leases[n].conversation)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(5):
                    tasks.start_soon(write, n)
                tasks.start_soon(alice.erase)
                for n in range(5, 10):
                    tasks.start_soon(write, n)

        assert len(written) <= 10
        assert not await alice.conversations()

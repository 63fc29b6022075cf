"""Tests of conversations that begin with records of another."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import anyio
import pytest

from assistant_kit.errors import ConversationConflict, ConversationExists, ConversationNotFound, InputError, LeaseLost
from assistant_kit.protocols.store import Lease, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    BAD_NAMES,
    PATIENCE,
    WINDOWS,
    StoreWorkbench,
    Window,
    claimed,
    filled,
    ids,
    new,
    rows,
    writing,
)


class StoreForks(StoreWorkbench):
    """A fork has the first records of another conversation, and from there on each goes its own way."""

    @pytest.mark.parametrize("at", [0, 1, 3])
    async def test_a_fork_begins_with_the_first_records_of_another(self, alice: UserStore, at: int) -> None:
        await filled(alice, 5, 6, 7)

        await alice.fork("c", "d", at=at)

        assert list(await alice.read("d")) == list(await alice.read("c"))[:at]
        assert ids(await alice.read("c")) == ["r1", "r2", "r3"]

    async def test_a_fork_is_idle_free_and_without_a_title(self, alice: UserStore) -> None:
        await filled(alice, 1, 1)
        await alice.rename("c", "mine")

        await alice.fork("c", "d", at=2)

        fork, source = await alice.conversations()
        assert (fork.conversation, fork.records, fork.state, fork.title) == ("d", 2, "idle", "")
        assert (source.conversation, source.records, source.state, source.title) == ("c", 2, "open", "mine")
        lease = await claimed(alice, "d", owner="w2")
        assert (lease.seq, lease.state, lease.open_turn) == (2, "idle", None)

    async def test_a_fork_needs_no_lease_and_takes_none(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1)

        await alice.fork("c", "d", at=1)

        await alice.append(writing(lease, 2, new("r3")))
        assert ids(await alice.read("c")) == ["r1", "r2", "r3"]

    async def test_later_records_of_one_are_not_those_of_the_other(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2)
        theirs = await forked(alice, at=2)

        await alice.append(writing(lease, 2, new("c3", tokens=4)))
        await alice.append(writing(theirs, 2, new("d3", tokens=8), new("d4", tokens=16)))

        assert rows(await alice.read("c")) == [(1, "r1", 1, 1), (2, "r2", 2, 3), (3, "c3", 4, 7)]
        assert rows(await alice.read("d")) == [(1, "r1", 1, 1), (2, "r2", 2, 3), (3, "d3", 8, 11), (4, "d4", 16, 27)]

    async def test_a_fork_lives_on_when_the_other_is_deleted(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, 3)
        theirs = await forked(alice, at=2)
        await alice.append(writing(theirs, 2, new("d3", tokens=4)))
        before = await alice.read("d")
        await alice.release(lease)

        await alice.delete("c")

        assert await alice.read("d") == before
        assert await alice.locate("d", "r2") == 2
        await alice.append(writing(theirs, 3, new("r3", tokens=5)))
        assert rows(await alice.read("d", after=2)) == [(3, "d3", 4, 7), (4, "r3", 5, 12)]

    async def test_the_other_lives_on_when_a_fork_is_deleted(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, 3)
        await alice.fork("c", "d", at=2)

        await alice.delete("d")

        with pytest.raises(ConversationNotFound):
            await alice.read("d")
        await alice.append(writing(lease, 3, new("r4", tokens=4)))
        assert rows(await alice.read("c", after=2)) == [(3, "r3", 3, 6), (4, "r4", 4, 10)]

    async def test_a_name_made_anew_shares_nothing_with_forks_of_the_old_one(self, alice: UserStore) -> None:
        await alice.release(await filled(alice, 1, 1))
        await alice.fork("c", "d", at=1)
        await alice.delete("c")

        await alice.append(writing(await claimed(alice), 0, new("x1"), new("x2")))

        assert ids(await alice.read("c")) == ["x1", "x2"]
        assert ids(await alice.read("d")) == ["r1"]

    async def test_a_fork_may_be_forked_before_and_behind_its_own_beginning(self, alice: UserStore) -> None:
        await alice.release(await filled(alice, 1, 2, 3, 4))
        theirs = await forked(alice, at=3)
        await alice.append(writing(theirs, 3, new("d4", tokens=5), new("d5", tokens=6), release=True))

        await alice.fork("d", "early", at=2)
        await alice.fork("d", "late", at=4)
        await alice.delete("c")
        await alice.delete("d")

        assert rows(await alice.read("early")) == [(1, "r1", 1, 1), (2, "r2", 2, 3)]
        assert rows(await alice.read("late")) == [(1, "r1", 1, 1), (2, "r2", 2, 3), (3, "r3", 3, 6), (4, "d4", 5, 11)]
        for name, at in (("early", 2), ("late", 4)):
            await alice.append(writing(await claimed(alice, name), at, new("end", tokens=7)))
            assert await alice.locate(name, "end") == at + 1

    async def test_a_long_line_of_forks_reads_as_one_journal(self, alice: UserStore) -> None:
        await alice.append(writing(await claimed(alice, "f0"), 0, new("r1", tokens=1), release=True))
        for n in range(1, 40):
            await alice.fork(f"f{n - 1}", f"f{n}", at=n)
            await alice.append(writing(await claimed(alice, f"f{n}"), n, new(f"r{n + 1}", tokens=1), release=True))
            await alice.delete(f"f{n - 1}")

        assert rows(await alice.read("f39")) == [(n, f"r{n}", 1, n) for n in range(1, 41)]
        assert ids(await alice.read("f39", after=10, max_tokens=25, limit=3)) == ["r38", "r39", "r40"]
        assert await alice.locate("f39", "r1") == 1

    async def test_records_are_located_in_what_is_shared_and_no_further(self, alice: UserStore) -> None:
        await filled(alice, 1, 1, 1)
        await alice.append(writing(await forked(alice, at=2), 2, new("d3")))

        assert [await alice.locate("d", name) for name in ("r1", "r2", "r3", "d3")] == [1, 2, None, 3]
        assert [await alice.locate("c", name) for name in ("r1", "r2", "r3", "d3")] == [1, 2, 3, None]

    async def test_a_record_id_that_is_shared_is_taken_and_one_behind_it_is_free(self, alice: UserStore) -> None:
        await filled(alice, 1, 1, 1)
        theirs = await forked(alice, at=2)

        with pytest.raises(ConversationConflict):
            await alice.append(writing(theirs, 2, new("x"), new("r1")))
        await alice.append(writing(theirs, 2, new("r3", body=b"theirs")))

        assert [record.body for record in await alice.read("d", after=2)] == [b"theirs"]
        assert [record.body for record in await alice.read("c", after=2)] == [b"{}"]

    async def test_a_repeated_write_is_recognised_in_and_across_what_is_shared(self, alice: UserStore) -> None:
        await filled(alice, 1, 1)
        theirs = await forked(alice, at=2)
        await alice.append(writing(theirs, 2, new("d3")))
        before = await alice.read("d")

        await alice.append(writing(theirs, 0, new("r1"), new("r2")))
        await alice.append(writing(theirs, 1, new("r2"), new("d3")))

        assert await alice.read("d") == before

    @pytest.mark.parametrize("window", WINDOWS)
    async def test_a_window_over_the_beginning_of_a_fork_is_as_over_one_journal(
        self, alice: UserStore, window: Window
    ) -> None:
        await alice.append(writing(await claimed(alice, "plain"), 0, *(new(f"r{n}", tokens=n) for n in range(1, 9))))
        await filled(alice, 1, 2, 3, 99)
        theirs = await forked(alice, at=3)
        await alice.append(writing(theirs, 3, *(new(f"r{n}", tokens=n) for n in range(4, 7)), new("gone", tokens=77)))
        await alice.append(writing(await forked(alice, "d", "e", at=6), 6, new("r7", tokens=7), new("r8", tokens=8)))

        assert rows(await alice.read("e", **window)) == rows(await alice.read("plain", **window))

    async def test_a_fork_that_was_made_already_is_left_as_it_is(self, alice: UserStore) -> None:
        await filled(alice, 1, 1)
        await alice.fork("c", "d", at=1)
        before = await alice.conversations()
        lease = await claimed(alice, "d")

        await alice.fork("c", "d", at=1)

        assert await alice.conversations() == before
        await alice.append(writing(lease, 1, new("d2")))
        assert ids(await alice.read("d")) == ["r1", "d2"]

    async def test_a_fork_that_was_written_to_is_not_made_again(self, alice: UserStore) -> None:
        await filled(alice, 1, 1)
        await alice.append(writing(await forked(alice, at=1), 1, new("d2")))

        with pytest.raises(ConversationExists) as caught:
            await alice.fork("c", "d", at=1)

        assert caught.value.conversation == "d"
        assert ids(await alice.read("d")) == ["r1", "d2"]

    async def test_a_name_that_is_taken_is_refused(self, alice: UserStore) -> None:
        await filled(alice, 1, 1)
        await filled(alice, 1, 1, conversation="other")
        await alice.fork("c", "d", at=1)

        for source, name, at in (("c", "other", 1), ("c", "c", 2), ("c", "d", 2), ("other", "d", 1)):
            with pytest.raises(ConversationExists):
                await alice.fork(source, name, at=at)

        assert ids(await alice.read("other")) == ["r1", "r2"]
        assert ids(await alice.read("d")) == ["r1"]

    @pytest.mark.parametrize("at", [-1, 3, 1000])
    async def test_a_fork_at_a_record_that_is_not_there_is_refused(self, alice: UserStore, at: int) -> None:
        await filled(alice, 1, 1)

        with pytest.raises(InputError):
            await alice.fork("c", "d", at=at)

        assert [info.conversation for info in await alice.conversations()] == ["c"]

    async def test_what_does_not_exist_is_not_forked(self, alice: UserStore, bob: UserStore) -> None:
        await filled(alice, 1)

        for source in ("c", "nowhere"):
            with pytest.raises(ConversationNotFound) as caught:
                await bob.fork(source, "d", at=0)
            assert caught.value.conversation == source

        assert not await bob.conversations()

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["none", "long", "nul", "surrogate"])
    async def test_a_fork_cannot_have_a_name_that_cannot_be_stored(self, alice: UserStore, name: str) -> None:
        await filled(alice, 1)

        with pytest.raises(InputError):
            await alice.fork("c", name, at=1)
        with pytest.raises(InputError):
            await alice.fork(name, "d", at=1)

    async def test_an_old_lease_opens_nothing_of_a_fork_under_its_name(self, alice: UserStore) -> None:
        await filled(alice, 1)
        old = [await claimed(alice, "d", ttl=self.ttl) for _ in range(5)][-1]
        await self.advance(self.ttl * 1.1)
        await alice.delete("d")

        await alice.fork("c", "d", at=1)

        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 1, new("zombie")))
        with pytest.raises(LeaseLost):
            await alice.renew(old, ttl=60)
        assert ids(await alice.read("d")) == ["r1"]

    async def test_fences_do_not_go_back_along_a_fork(self, alice: UserStore) -> None:
        for _ in range(5):
            await claimed(alice)
        await filled(alice, 1)

        await alice.append(writing(await forked(alice, at=1), 1, new("d2")))

        one, two = await alice.read("d")
        assert one.fence < two.fence

    async def test_forks_are_made_at_once_and_beside_writes(self, alice: UserStore) -> None:
        lease = await filled(alice, *range(1, 11))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(10):
                    tasks.start_soon(lambda n=n: alice.fork("c", f"d{n}", at=n))
                    tasks.start_soon(lambda: alice.fork("c", "same", at=5))
                tasks.start_soon(alice.append, writing(lease, 10, new("r11")))

        for name, at in (*((f"d{n}", n) for n in range(10)), ("same", 5), ("c", 11)):
            assert ids(await alice.read(name)) == [f"r{n}" for n in range(1, at + 1)]


async def forked(user: UserStore, source: str = "c", name: str = "d", *, at: int) -> Lease:
    """Return a lease on a fork that was made just now."""
    await user.fork(source, name, at=at)
    return await claimed(user, name)

"""Tests of who may write."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import math
from contextlib import suppress

import anyio
import pytest

from assistant_kit.errors import ConversationBusy, InputError, LeaseLost
from assistant_kit.protocols.store import Lease, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    PATIENCE,
    StoreWorkbench,
    claimed,
    filled,
    ids,
    new,
    writing,
)


class StoreLeases(StoreWorkbench):
    """One holder at a time, told apart by fences that only grow."""

    async def test_a_claim_makes_a_conversation(self, alice: UserStore) -> None:
        lease = await alice.claim("c", owner="w1", ttl=60)

        assert (lease.conversation, lease.owner, lease.seq, lease.state, lease.open_turn) == (
            "c",
            "w1",
            0,
            "idle",
            None,
        )

    async def test_a_claim_may_begin_a_turn_in_the_same_write(self, alice: UserStore) -> None:
        lease = await alice.claim("c", owner="w1", ttl=60, begin=new("t1", tokens=7))

        assert (lease.begun, lease.seq, lease.state, lease.open_turn) == (True, 1, "open", 1)
        (record,) = await alice.read("c")
        assert (record.record_id, record.seq, record.tokens, record.total_tokens) == ("t1", 1, 7, 7)
        await alice.append(writing(lease, 1, new("end"), state="idle", open_turn=None, release=True))
        again = await alice.claim("c", owner="w2", ttl=60, begin=new("t2", tokens=5))
        assert (again.begun, again.seq, again.open_turn) == (True, 3, 3)
        assert [record.total_tokens for record in await alice.read("c")] == [7, 8, 13]

    async def test_a_claim_begins_no_turn_while_one_is_unfinished(self, alice: UserStore) -> None:
        lease = await alice.claim("c", owner="w1", ttl=60, begin=new("t1"))
        await alice.release(lease)

        taken = await alice.claim("c", owner="w2", ttl=60, begin=new("t2"))

        assert (taken.begun, taken.seq, taken.state, taken.open_turn) == (False, 1, "open", 1)
        assert ids(await alice.read("c")) == ["t1"]

    async def test_a_claim_begins_no_turn_twice(self, alice: UserStore) -> None:
        lease = await alice.claim("c", owner="w1", ttl=60, begin=new("t1"))
        await alice.append(writing(lease, 1, new("end"), state="idle", open_turn=None, release=True))

        repeated = await alice.claim("c", owner="w2", ttl=60, begin=new("t1"))

        assert (repeated.begun, repeated.seq, repeated.state) == (False, 2, "idle")

    async def test_a_busy_conversation_begins_no_turn(self, alice: UserStore) -> None:
        await alice.claim("c", owner="w1", ttl=60)

        with pytest.raises(ConversationBusy):
            await alice.claim("c", owner="w2", ttl=60, begin=new("t1"))

        assert not await alice.read("c")

    async def test_a_turn_with_a_bad_record_is_not_begun(self, alice: UserStore) -> None:
        with pytest.raises(InputError):
            await alice.claim("c", owner="w1", ttl=60, begin=new("", tokens=1))
        assert not await alice.conversations()

    async def test_a_cancelled_claim_leaves_no_turn_behind(self, alice: UserStore) -> None:
        answered: list[Lease] = []
        with anyio.CancelScope() as scope:
            scope.cancel()
            answered.append(await alice.claim("c", owner="w1", ttl=60, begin=new("t1", tokens=3)))
        for lease in answered:  # a store that never waits may answer all the same
            await alice.release(lease)

        taken = await alice.claim("c", owner="w2", ttl=60, begin=new("t2", tokens=4))

        assert (taken.begun, taken.seq) == (not answered, 1)
        assert [record.total_tokens for record in await alice.read("c")] == [3 if answered else 4]

    async def test_the_same_owner_may_claim_again_and_the_old_lease_is_lost(self, alice: UserStore) -> None:
        old = await claimed(alice)
        new_one = await claimed(alice)

        assert new_one.fence > old.fence
        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 0, new("a")))

    async def test_a_held_conversation_is_busy_for_others(self, alice: UserStore) -> None:
        await claimed(alice, owner="w1", ttl=60)

        with pytest.raises(ConversationBusy) as caught:
            await claimed(alice, owner="w2")

        assert caught.value.conversation == "c"
        assert 0 < caught.value.retry_after <= 60

    async def test_after_its_end_a_lease_passes_to_who_claims(self, alice: UserStore) -> None:
        old = await claimed(alice, owner="w1", ttl=self.ttl)
        await self.advance(self.ttl * 1.1)

        taken = await claimed(alice, owner="w2")

        assert taken.fence > old.fence

    async def test_the_holder_before_can_neither_write_nor_renew(self, alice: UserStore) -> None:
        old = await claimed(alice, owner="w1", ttl=self.ttl)
        await self.advance(self.ttl * 1.1)
        taken = await claimed(alice, owner="w2")

        with pytest.raises(LeaseLost) as caught:
            await alice.append(writing(old, 0, new("old")))
        with pytest.raises(LeaseLost):
            await alice.renew(old, ttl=60)
        await alice.append(writing(taken, 0, new("taken")))

        assert caught.value.conversation == "c"
        assert ids(await alice.read("c")) == ["taken"]

    async def test_the_holder_before_stays_shut_out_when_the_next_one_has_gone(self, alice: UserStore) -> None:
        old = await claimed(alice, owner="w1", ttl=self.ttl)
        await self.advance(self.ttl * 1.1)
        await alice.release(await claimed(alice, owner="w2"))

        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 0, new("old")))
        with pytest.raises(LeaseLost):
            await alice.renew(old, ttl=60)

    async def test_a_lease_that_ended_and_was_not_taken_still_writes_and_renews(self, alice: UserStore) -> None:
        lease = await claimed(alice, owner="w1", ttl=self.ttl)
        await self.advance(self.ttl * 1.1)

        await alice.append(writing(lease, 0, new("a")))
        await alice.renew(lease, ttl=60)

        with pytest.raises(ConversationBusy):
            await claimed(alice, owner="w2")

    async def test_a_renewed_lease_lasts_longer(self, alice: UserStore) -> None:
        lease = await claimed(alice, owner="w1", ttl=self.ttl)
        await alice.renew(lease, ttl=60)
        await self.advance(self.ttl * 1.1)

        with pytest.raises(ConversationBusy):
            await claimed(alice, owner="w2")

    async def test_a_released_conversation_is_free_at_once(self, alice: UserStore) -> None:
        await alice.release(await claimed(alice, owner="w1"))

        await claimed(alice, owner="w2")

    async def test_a_release_that_comes_too_late_frees_nothing(self, alice: UserStore) -> None:
        old = await claimed(alice, owner="w1")
        await alice.release(old)
        taken = await claimed(alice, owner="w2")

        await alice.release(old)

        with pytest.raises(ConversationBusy):
            await claimed(alice, owner="w3")
        await alice.append(writing(taken, 0, new("a")))

    async def test_a_lease_that_was_given_up_is_lost(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        await alice.release(lease)

        with pytest.raises(LeaseLost):
            await alice.append(writing(lease, 0, new("a")))
        with pytest.raises(LeaseLost):  # a renewal that was under way must not hold what nobody works on
            await alice.renew(lease, ttl=60)
        await claimed(alice, owner="w2")

    async def test_a_write_can_give_the_lease_up(self, alice: UserStore) -> None:
        lease = await claimed(alice, owner="w1")

        await alice.append(writing(lease, 0, new("a"), state="idle", open_turn=None, release=True))

        with pytest.raises(LeaseLost):
            await alice.renew(lease, ttl=60)
        taken = await claimed(alice, owner="w2")
        assert (taken.seq, taken.state) == (1, "idle")
        assert taken.fence > lease.fence

    async def test_a_refused_write_keeps_the_lease(self, alice: UserStore) -> None:
        lease = await filled(alice, 1)
        with pytest.raises(Exception):  # noqa: B017, PT011  (another test says which)
            await alice.append(writing(lease, 7, new("x"), release=True))

        await alice.append(writing(lease, 1, new("a")))

        assert ids(await alice.read("c")) == ["r1", "a"]

    async def test_a_repeated_write_that_gave_the_lease_up_is_recognised(self, alice: UserStore) -> None:
        write = writing(await claimed(alice, owner="w1"), 0, new("a"), state="idle", open_turn=None, release=True)
        await alice.append(write)

        await alice.append(write)
        taken = await claimed(alice, owner="w2")
        await alice.append(write)

        assert ids(await alice.read("c")) == ["a"]
        await alice.append(writing(taken, 1, new("b")))

    async def test_a_lost_lease_is_said_to_be_lost_although_its_write_took_place(self, alice: UserStore) -> None:
        """Whoever repeats a write goes on afterwards, and must not."""
        write = writing(await claimed(alice, owner="w1", ttl=self.ttl), 0, new("a"))
        await alice.append(write)
        await self.advance(self.ttl * 1.1)
        await claimed(alice, owner="w2")

        with pytest.raises(LeaseLost):
            await alice.append(write)

    async def test_a_last_write_of_somebody_else_is_no_repetition(self, alice: UserStore) -> None:
        old = await claimed(alice, owner="w1", ttl=self.ttl)
        await self.advance(self.ttl * 1.1)
        await alice.append(writing(await claimed(alice, owner="w2"), 0, new("a")))

        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 0, new("a"), release=True))

    async def test_of_many_who_claim_at_once_one_gets_it(self, alice: UserStore) -> None:
        won: list[str] = []

        async def try_it(owner: str) -> None:
            with suppress(ConversationBusy):
                won.append((await claimed(alice, owner=owner)).owner)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n in range(20):
                    tasks.start_soon(try_it, f"w{n}")

        assert len(won) == 1

    async def test_a_claim_that_was_cancelled_leaves_no_lease(self, alice: UserStore) -> None:
        for _ in range(5):
            got = False
            with anyio.CancelScope() as scope:
                scope.cancel()
                await claimed(alice, owner="w1")
                got = True
            if got:
                await alice.release(await claimed(alice, owner="w1"))

            with anyio.fail_after(PATIENCE):
                await alice.release(await claimed(alice, owner="w2"))

    @pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan])
    async def test_a_lease_has_a_length_and_an_end(self, alice: UserStore, ttl: float) -> None:
        lease = await claimed(alice)

        with pytest.raises(InputError):
            await alice.claim("c", owner="w1", ttl=ttl)
        with pytest.raises(InputError):
            await alice.renew(lease, ttl=ttl)

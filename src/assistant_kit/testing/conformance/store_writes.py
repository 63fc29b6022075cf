"""Tests of what a store makes of a write."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from typing import Any

import pytest

from assistant_kit.errors import ConversationConflict, InputError, NotTransactional
from assistant_kit.protocols.store import Append, NewRecord, UserStore
from assistant_kit.testing.conformance.store_workbench import StoreWorkbench, claimed, filled, ids, new, writing


class StoreWrites(StoreWorkbench):
    """A write takes place as a whole, once, and where it was meant to."""

    async def test_records_are_read_as_they_were_written_and_numbered_from_one(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        first = NewRecord(record_id="a", kind="turn_started", body=b"one", tokens=3)
        second = NewRecord(record_id="b", kind="model_responded", body=b"two", tokens=4)

        await alice.append(writing(lease, 0, first, second))

        one, two = await alice.read("c")
        assert (one.seq, one.record_id, one.kind, one.body) == (1, "a", "turn_started", b"one")
        assert (one.tokens, one.total_tokens, one.fence) == (3, 3, lease.fence)
        assert (two.seq, two.record_id, two.kind, two.body) == (2, "b", "model_responded", b"two")
        assert (two.tokens, two.total_tokens, two.fence) == (4, 7, lease.fence)

    async def test_later_writes_go_behind_earlier_ones_and_add_to_the_total(self, alice: UserStore) -> None:
        lease = await filled(alice, 5, 6)

        await alice.append(writing(lease, 2, new("r3", tokens=7)))

        assert [(record.seq, record.total_tokens) for record in await alice.read("c")] == [(1, 5), (2, 11), (3, 18)]

    @pytest.mark.parametrize(
        "body", [b"", b"\0", bytes(range(256)), b"x" * 1_000_000], ids=["none", "nul", "all", "big"]
    )
    async def test_a_body_is_kept_to_the_byte(self, alice: UserStore, body: bytes) -> None:
        await alice.append(writing(await claimed(alice), 0, new("a", body=body)))

        assert [record.body for record in await alice.read("c")] == [body]

    async def test_times_of_records_are_the_stores_and_do_not_go_back(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        for n in range(5):
            await alice.append(writing(lease, n, new(f"r{n}")))

        times = [record.at for record in await alice.read("c")]
        (info,) = await alice.conversations()

        assert times == sorted(times)
        assert info.created_at <= times[0]
        assert info.updated_at >= times[-1]

    async def test_a_write_with_one_refused_record_writes_none(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1)

        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 2, new("r3"), new("r1"), new("r4"), state="waiting"))

        assert ids(await alice.read("c")) == ["r1", "r2"]
        assert (await claimed(alice)).state == "open"

    async def test_after_a_refused_write_the_right_one_goes_through(self, alice: UserStore) -> None:
        lease = await filled(alice, 2)
        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 1, new("r2", tokens=3), new("r1", tokens=4)))

        await alice.append(writing(lease, 1, new("r2", tokens=5)))

        assert [(record.record_id, record.total_tokens) for record in await alice.read("c")] == [("r1", 2), ("r2", 7)]

    @pytest.mark.parametrize("expected", [0, 1, 3, 100])
    async def test_a_write_at_the_wrong_place_is_refused(self, alice: UserStore, expected: int) -> None:
        lease = await filled(alice, 1, 1)

        with pytest.raises(ConversationConflict) as caught:
            await alice.append(writing(lease, expected, new("other")))

        assert (caught.value.conversation, caught.value.expected, caught.value.found) == ("c", expected, 2)
        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_a_repeated_write_changes_nothing(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        write = writing(lease, 0, new("a", tokens=2), new("b", tokens=3))
        await alice.append(write)
        before = await alice.read("c")

        await alice.append(write)

        assert await alice.read("c") == before
        assert (await claimed(alice)).seq == 2

    async def test_a_repeated_write_is_recognised_when_more_was_written_since(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        write = writing(lease, 0, new("a"), new("b"))
        await alice.append(write)
        await alice.append(writing(lease, 2, new("c"), state="idle", open_turn=None))

        await alice.append(write)

        assert ids(await alice.read("c")) == ["a", "b", "c"]
        assert (await claimed(alice)).state == "idle"

    async def test_a_repeated_write_is_recognised_under_a_newer_lease_of_the_same_run(self, alice: UserStore) -> None:
        await alice.append(writing(await claimed(alice), 0, new("a")))

        await alice.append(writing(await claimed(alice), 0, new("a")))

        assert ids(await alice.read("c")) == ["a"]

    @pytest.mark.parametrize(
        "again", [["a", "x"], ["x", "b"], ["b", "a"], ["a", "b", "c"]], ids=["end", "start", "order", "longer"]
    )
    async def test_a_write_that_repeats_only_in_part_is_refused(self, alice: UserStore, again: list[str]) -> None:
        lease = await claimed(alice)
        await alice.append(writing(lease, 0, new("a"), new("b")))

        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 0, *map(new, again)))

        assert ids(await alice.read("c")) == ["a", "b"]

    async def test_a_record_id_is_taken_once_in_a_conversation(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1)

        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 2, new("r1")))

        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_a_record_id_twice_in_one_write_is_refused(self, alice: UserStore) -> None:
        lease = await claimed(alice)

        with pytest.raises((InputError, ConversationConflict)):
            await alice.append(writing(lease, 0, new("a"), new("a")))

        assert ids(await alice.read("c")) == []

    async def test_two_conversations_may_have_the_same_record_ids(self, alice: UserStore) -> None:
        await filled(alice, 1, conversation="c1")
        await filled(alice, 2, conversation="c2")

        assert [record.tokens for record in await alice.read("c1")] == [1]
        assert [record.tokens for record in await alice.read("c2")] == [2]

    async def test_the_next_claim_learns_the_state_that_the_last_write_left(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        await alice.append(writing(lease, 0, new("a"), new("b"), state="waiting", open_turn=1))

        again = await claimed(alice)

        assert (again.seq, again.state, again.open_turn) == (2, "waiting", 1)

    async def test_a_write_without_records_sets_the_state(self, alice: UserStore) -> None:
        lease = await filled(alice, 1)

        await alice.append(writing(lease, 1, state="idle", open_turn=None))

        again = await claimed(alice)
        assert (again.seq, again.state, again.open_turn) == (1, "idle", None)

    async def test_a_write_without_records_at_the_wrong_place_is_no_repetition(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1)

        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 1, state="idle", open_turn=None))

        assert (await claimed(alice)).state == "open"

    async def test_work_gets_a_connection_or_is_refused_before_it_begins(self, alice: UserStore) -> None:
        lease = await filled(alice, 1)
        connections: list[Any] = []

        async def work(connection: Any) -> Append:
            connections.append(connection)
            return writing(lease, 1, new("a"))

        if self.transactions:
            await alice.transact(lease, work)
            assert connections != [None]
        else:
            with pytest.raises(NotTransactional):
                await alice.transact(lease, work)

        assert len(connections) == self.transactions
        assert ids(await alice.read("c")) == (["r1", "a"] if self.transactions else ["r1"])

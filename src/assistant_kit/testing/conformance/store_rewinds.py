"""Tests of conversations that go on at an earlier record."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import pytest

from assistant_kit.errors import ConversationBusy, ConversationConflict, ConversationNotFound, InputError, LeaseLost
from assistant_kit.protocols.store import UserStore
from assistant_kit.testing.conformance.store_workbench import (
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


class StoreRewinds(StoreWorkbench):
    """A rewound conversation goes on as if later records had never been."""

    @pytest.mark.parametrize("to", [0, 1, 3])
    async def test_records_after_the_place_are_found_no_longer(self, alice: UserStore, to: int) -> None:
        lease = await filled(alice, 1, 1, 1, 1)

        await alice.rewind(lease, to=to)

        assert ids(await alice.read("c")) == [f"r{n}" for n in range(1, to + 1)]
        found = [await alice.locate("c", f"r{n}") for n in range(1, 5)]
        assert found == [n if n <= to else None for n in range(1, 5)]
        (info,) = await alice.conversations()
        assert (info.records, info.state) == (to, "idle")

    @pytest.mark.parametrize("to", [1, 2])
    async def test_a_rewound_conversation_is_idle_for_the_next_claim(self, alice: UserStore, to: int) -> None:
        lease = await filled(alice, 1, 1)
        await alice.append(writing(lease, 2, state="waiting"))

        await alice.rewind(lease, to=to)

        again = await claimed(alice)
        assert (again.seq, again.state, again.open_turn) == (to, "idle", None)
        begun = await alice.claim("c", owner="w1", ttl=60, begin=new("t2"))
        assert (begun.begun, begun.seq, begun.state, begun.open_turn) == (True, to + 1, "open", to + 1)

    async def test_the_next_write_goes_behind_the_place_and_adds_to_its_total(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, 4)
        await alice.rewind(lease, to=1)

        with pytest.raises(ConversationConflict) as caught:
            await alice.append(writing(lease, 3, new("x")))
        await alice.append(writing(lease, 1, new("n2", tokens=8), new("n3", tokens=16)))

        assert (caught.value.expected, caught.value.found) == (3, 1)
        assert rows(await alice.read("c")) == [(1, "r1", 1, 1), (2, "n2", 8, 9), (3, "n3", 16, 25)]

    async def test_record_ids_after_the_place_are_free_again_and_those_before_are_taken(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, 1)
        await alice.rewind(lease, to=1)

        with pytest.raises(ConversationConflict):
            await alice.append(writing(lease, 1, new("r1")))
        await alice.append(writing(lease, 1, new("r3", body=b"new")))

        assert [(record.seq, record.record_id, record.body) for record in await alice.read("c", after=1)] == [
            (2, "r3", b"new")
        ]
        assert await alice.locate("c", "r3") == 2

    async def test_a_rewind_keeps_the_lease(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1)

        await alice.rewind(lease, to=1)

        with pytest.raises(ConversationBusy):
            await claimed(alice, owner="w2")
        await alice.renew(lease, ttl=60)
        await alice.append(writing(lease, 1, new("a"), release=True))
        assert (await claimed(alice, owner="w2")).seq == 2

    async def test_a_repeated_rewind_is_harmless(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, 1)

        await alice.rewind(lease, to=2)
        await alice.rewind(lease, to=2)

        await alice.append(writing(lease, 2, new("a")))
        assert ids(await alice.read("c")) == ["r1", "r2", "a"]

    async def test_a_repeated_write_is_recognised_after_a_rewind(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, 1)
        await alice.rewind(lease, to=2)
        await alice.append(writing(lease, 2, new("a")))
        before = await alice.read("c")

        await alice.append(writing(lease, 2, new("a")))
        await alice.append(writing(lease, 1, new("r2"), new("a")))

        assert await alice.read("c") == before

    @pytest.mark.parametrize("to", [-1, 3, 1000])
    async def test_a_rewind_to_a_record_that_is_not_there_is_refused(self, alice: UserStore, to: int) -> None:
        lease = await filled(alice, 1, 1)

        with pytest.raises(InputError):
            await alice.rewind(lease, to=to)

        assert ids(await alice.read("c")) == ["r1", "r2"]
        assert (await claimed(alice)).state == "open"

    async def test_what_was_cut_off_cannot_be_rewound_to(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, 1)
        await alice.rewind(lease, to=1)

        with pytest.raises(InputError):
            await alice.rewind(lease, to=2)

    async def test_a_stale_lease_rewinds_nothing(self, alice: UserStore, bob: UserStore) -> None:
        old = await filled(alice, 1, 1)
        given_up = await claimed(alice)
        await alice.release(given_up)

        for stale in (old, given_up):
            with pytest.raises(LeaseLost) as caught:
                await alice.rewind(stale, to=1)
            assert caught.value.conversation == "c"
        taken = await claimed(alice, owner="w2")
        with pytest.raises(LeaseLost):
            await alice.rewind(given_up, to=1)
        with pytest.raises(LeaseLost):
            await bob.rewind(taken, to=1)

        assert ids(await alice.read("c")) == ["r1", "r2"]

    async def test_a_rewind_is_a_change(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, conversation="c1")
        await filled(alice, 1, conversation="c2")

        await alice.rewind(lease, to=1)

        assert [info.conversation for info in await alice.conversations()] == ["c1", "c2"]

    async def test_forks_keep_the_records_that_were_cut_off(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, 3, 4)
        await alice.fork("c", "d", at=4)

        await alice.rewind(lease, to=2)
        await alice.append(writing(lease, 2, new("c3"), release=True))

        assert ids(await alice.read("d")) == ["r1", "r2", "r3", "r4"]
        assert await alice.locate("d", "r4") == 4
        assert await alice.locate("d", "c3") is None
        await alice.delete("c")
        await alice.append(writing(await claimed(alice, "d"), 4, new("d5", tokens=5)))
        assert rows(await alice.read("d", after=3)) == [(4, "r4", 4, 10), (5, "d5", 5, 15)]

    async def test_a_fork_of_a_rewound_conversation_has_what_that_one_has(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, 3)
        await alice.rewind(lease, to=1)
        await alice.append(writing(lease, 1, new("n2", tokens=4), new("n3", tokens=8)))

        await alice.fork("c", "early", at=1)
        await alice.fork("c", "late", at=2)
        with pytest.raises(InputError):
            await alice.fork("c", "beyond", at=4)

        assert rows(await alice.read("early")) == [(1, "r1", 1, 1)]
        assert rows(await alice.read("late")) == [(1, "r1", 1, 1), (2, "n2", 4, 5)]
        assert [await alice.locate("late", name) for name in ("r2", "n2", "n3")] == [None, 2, None]
        await alice.append(writing(await claimed(alice, "late"), 2, new("r2", tokens=16)))
        assert rows(await alice.read("late", after=2)) == [(3, "r2", 16, 21)]

    async def test_a_fork_may_be_rewound_to_before_its_own_beginning(self, alice: UserStore) -> None:
        await filled(alice, 1, 2, 3)
        await alice.fork("c", "d", at=3)
        theirs = await claimed(alice, "d")
        await alice.append(writing(theirs, 3, new("d4")))

        await alice.rewind(theirs, to=1)
        await alice.append(writing(theirs, 1, new("r3", tokens=8)))

        assert rows(await alice.read("d")) == [(1, "r1", 1, 1), (2, "r3", 8, 9)]
        assert ids(await alice.read("c")) == ["r1", "r2", "r3"]

    async def test_a_conversation_may_be_rewound_many_times(self, alice: UserStore) -> None:
        lease = await filled(alice, *([1] * 10))

        expected = ids(await alice.read("c"))

        for n in range(40):
            to = (7 * n) % 10
            later = [f"n{n}.{k}" for k in range(to, 10)]
            await alice.rewind(lease, to=to)
            await alice.append(writing(lease, to, *map(new, later)))
            expected = expected[:to] + later

        assert ids(await alice.read("c")) == expected
        assert [record.total_tokens for record in await alice.read("c")] == list(range(1, 11))
        assert [await alice.locate("c", name) for name in expected] == list(range(1, 11))

    @pytest.mark.parametrize("window", WINDOWS)
    async def test_a_window_over_the_place_of_a_rewind_is_as_over_one_journal(
        self, alice: UserStore, window: Window
    ) -> None:
        await alice.append(writing(await claimed(alice, "plain"), 0, *(new(f"r{n}", tokens=n) for n in range(1, 9))))
        lease = await filled(alice, 1, 2, 3, 99, 99)
        for to, end in ((3, 8), (5, 9)):
            await alice.rewind(lease, to=to)
            await alice.append(writing(lease, to, *(new(f"r{n}", tokens=n) for n in range(to + 1, end))))

        assert rows(await alice.read("c", **window)) == rows(await alice.read("plain", **window))

    async def test_a_rewound_conversation_is_deleted_with_all_its_records(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 1, 1)
        await alice.rewind(lease, to=1)
        await alice.append(writing(lease, 1, new("n2"), release=True))

        await alice.delete("c")

        with pytest.raises(ConversationNotFound):
            await alice.read("c")
        assert [await alice.locate("c", name) for name in ("r1", "r2", "n2")] == [None] * 3
        assert (await claimed(alice)).seq == 0

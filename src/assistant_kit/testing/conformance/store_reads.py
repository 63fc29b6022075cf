"""Tests of what a store gives back."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import pytest

from assistant_kit.errors import ConversationNotFound
from assistant_kit.protocols.store import UserStore
from assistant_kit.testing.conformance.store_workbench import StoreWorkbench, claimed, filled, ids, new, writing


class StoreReads(StoreWorkbench):
    """A read returns the newest records within its limits, oldest first."""

    @pytest.mark.parametrize(
        ("after", "before", "expected"),
        [
            (0, None, ["r1", "r2", "r3", "r4"]),
            (2, None, ["r3", "r4"]),
            (4, None, []),
            (9, None, []),
            (-5, None, ["r1", "r2", "r3", "r4"]),
            (0, 3, ["r1", "r2"]),
            (0, 1, []),
            (0, 0, []),
            (0, -3, []),
            (0, 99, ["r1", "r2", "r3", "r4"]),
            (1, 4, ["r2", "r3"]),
            (3, 2, []),
        ],
    )
    async def test_after_and_before_are_not_part_of_what_is_read(
        self, alice: UserStore, after: int, before: int | None, expected: list[str]
    ) -> None:
        await filled(alice, 1, 1, 1, 1)

        assert ids(await alice.read("c", after=after, before=before)) == expected

    @pytest.mark.parametrize(
        ("max_tokens", "expected"),
        [(100, ["r1", "r2", "r3"]), (60, ["r1", "r2", "r3"]), (59, ["r2", "r3"]), (30, ["r3"]), (29, []), (-1, [])],
    )
    async def test_the_newest_records_that_fit_the_tokens_are_read(
        self, alice: UserStore, max_tokens: int, expected: list[str]
    ) -> None:
        await filled(alice, 10, 20, 30)

        assert ids(await alice.read("c", max_tokens=max_tokens)) == expected

    async def test_what_does_not_fit_hides_all_that_is_older(self, alice: UserStore) -> None:
        await filled(alice, 1, 50, 1)

        assert ids(await alice.read("c", max_tokens=10)) == ["r3"]

    async def test_records_without_tokens_fit_any_limit(self, alice: UserStore) -> None:
        await filled(alice, 5, 0, 0)

        assert ids(await alice.read("c", max_tokens=0)) == ["r2", "r3"]

    @pytest.mark.parametrize(("limit", "expected"), [(9, ["r1", "r2", "r3"]), (2, ["r2", "r3"]), (0, []), (-1, [])])
    async def test_the_newest_records_up_to_the_limit_are_read(
        self, alice: UserStore, limit: int, expected: list[str]
    ) -> None:
        await filled(alice, 1, 1, 1)

        assert ids(await alice.read("c", limit=limit)) == expected

    async def test_limits_hold_together(self, alice: UserStore) -> None:
        await filled(alice, 1, 2, 3, 4, 5, 6)

        assert ids(await alice.read("c", after=1, before=6, max_tokens=12, limit=2)) == ["r4", "r5"]
        assert ids(await alice.read("c", after=1, before=6, max_tokens=8, limit=3)) == ["r5"]
        assert ids(await alice.read("c", after=4, before=6, max_tokens=99, limit=9)) == ["r5"]

    async def test_a_long_journal_can_be_paged_backwards(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        await alice.append(writing(lease, 0, *(new(f"r{n}") for n in range(1, 251))))

        pages = [await alice.read("c", limit=100)]
        while pages[0] and pages[0][0].seq > 1:
            pages.insert(0, await alice.read("c", before=pages[0][0].seq, limit=100))

        assert [record.seq for page in pages for record in page] == list(range(1, 251))

    async def test_a_conversation_that_was_only_claimed_is_empty(self, alice: UserStore) -> None:
        await claimed(alice)

        assert ids(await alice.read("c")) == []

    async def test_an_unknown_conversation_is_not_found(self, alice: UserStore) -> None:
        with pytest.raises(ConversationNotFound) as caught:
            await alice.read("nowhere")

        assert caught.value.conversation == "nowhere"

    async def test_a_record_is_located_by_its_id(self, alice: UserStore) -> None:
        await filled(alice, 1, 1, conversation="c1")
        await alice.append(writing(await claimed(alice, "c2"), 0, new("x"), new("y"), new("r1")))

        assert await alice.locate("c1", "r2") == 2
        assert await alice.locate("c2", "r1") == 3
        assert await alice.locate("c2", "r2") is None
        assert await alice.locate("nowhere", "r1") is None

    async def test_conversations_are_listed_by_their_last_write(self, alice: UserStore) -> None:
        leases = {name: await claimed(alice, name) for name in ("c1", "c2", "c3")}
        for name in ("c2", "c3", "c1"):
            await self.advance(0.001)
            await alice.append(writing(leases[name], 0, new("a"), new("b"), state="waiting"))

        listed = await alice.conversations()

        assert [info.conversation for info in listed] == ["c1", "c3", "c2"]
        assert {(info.records, info.state) for info in listed} == {(2, "waiting")}
        assert all(info.created_at <= info.updated_at for info in listed)

    async def test_a_list_can_be_paged_without_losing_any_at_one_moment(self, alice: UserStore) -> None:
        names = {f"c{n}" for n in range(7)}
        for name in names:
            await alice.append(writing(await claimed(alice, name), 0, new("a")))

        page = await alice.conversations(limit=3)
        seen = [info.conversation for info in page]
        while page:
            page = await alice.conversations(limit=3, before=page[-1].updated_at)
            seen += [info.conversation for info in page]

        assert len(seen) == 7
        assert set(seen) == names

    async def test_a_list_of_none_is_empty(self, alice: UserStore) -> None:
        assert list(await alice.conversations()) == []
        await claimed(alice)
        assert list(await alice.conversations(limit=0)) == []

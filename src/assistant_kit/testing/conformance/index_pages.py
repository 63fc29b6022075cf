"""Tests of lists: of passages by their ids, and of owners."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from uuid import uuid4

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.search_index import OwnedIndex, SearchIndex, Where
from assistant_kit.testing.conformance.index_workbench import IndexWorkbench, assert_same, ids, passage

NAMES = [
    "a",
    "B",
    "Z",
    "z",
    "a b",
    "a-b",
    "a_b",
    "ab",
    "é",
    "e\u0301",
    "ß",
    "会话",
    "\uffff",
    "😀",
    "0",
    "10",
    "9",
    " ",
]
IN_ORDER = sorted(NAMES, key=str.encode)


class IndexPages(IndexWorkbench):
    """A list is in the order of UTF-8 bytes, and pages of it follow each other without a gap."""

    async def test_passages_are_listed_in_the_order_of_the_bytes_of_their_ids(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name) for name in NAMES])

        assert ids(await alice.page()) == IN_ORDER

    async def test_pages_follow_each_other_without_a_gap(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name, labels={"n": n % 2}) for n, name in enumerate(IN_ORDER)])

        for where, expected in ((None, IN_ORDER), (Where(labels={"n": 1}), IN_ORDER[1::2])):
            seen: list[str] = []
            while page := await alice.page(limit=4, after=seen[-1] if seen else "", where=where):
                assert len(page) == 4 or ids(page)[-1] == expected[-1]
                seen += ids(page)
            assert seen == expected

    async def test_a_page_may_begin_behind_an_id_that_does_not_exist(self, alice: OwnedIndex) -> None:
        await alice.put([passage(name) for name in ("a", "c", "e")])

        assert ids(await alice.page(after="b")) == ["c", "e"]
        assert ids(await alice.page(after="c")) == ["e"]
        assert ids(await alice.page(after="x" * 300)) == []

    async def test_listed_passages_have_their_vectors(self, alice: OwnedIndex) -> None:
        put = [passage(name, source="s", at=1.5, labels={"k": name}) for name in "abc"]
        await alice.put(put)

        for found, expected in zip(await alice.page(), put, strict=True):
            assert_same(found, expected)

    async def test_less_than_one_cannot_be_listed(self, index: SearchIndex, alice: OwnedIndex) -> None:
        for limit in (0, -1):
            with pytest.raises(InputError):
                await alice.page(limit=limit)
            with pytest.raises(InputError):
                await index.owners(limit=limit)

    async def test_owners_are_listed_in_the_order_of_their_bytes(self, index: SearchIndex) -> None:
        prefix = f"o-{uuid4()}-"
        expected = [prefix + name for name in IN_ORDER]
        for name in NAMES:
            await index.for_owner(prefix + name).put([passage("p1"), passage("p2")])

        seen: list[str] = []
        after = prefix[:-1]
        while len(seen) < len(expected) and (page := await index.owners(after=after, limit=5)):
            seen += page
            after = page[-1]
        assert seen[: len(expected)] == expected
        assert list(await index.owners(after=prefix + IN_ORDER[2], limit=1)) == [prefix + IN_ORDER[3]]

    async def test_owners_without_passages_are_not_listed(self, index: SearchIndex) -> None:
        owner = f"o-{uuid4()}"
        owned = index.for_owner(owner)
        assert owner not in await index.owners(after=owner[:-1], limit=5)

        await owned.put([passage("a")])
        assert owner in await index.owners(after=owner[:-1], limit=5)

        await owned.delete(["a"])
        assert owner not in await index.owners(after=owner[:-1], limit=5)

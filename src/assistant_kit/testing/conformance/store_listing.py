"""Tests of what a store tells about all its conversations: titles, turns to finish, users."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import pytest

from assistant_kit.errors import ConversationNotFound, InputError
from assistant_kit.protocols.store import Store, TurnState, Unfinished, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    BAD_NAMES,
    StoreWorkbench,
    claimed,
    filled,
    new,
    writing,
)

EVERYTHING = 1_000_000
"""A limit beyond whatever else the place holds."""

BY_BYTES = ["B", "a", "a b", "aa", "é", "\uffff", "😀"]
"""Names in the order of their UTF-8 bytes, which is not that of UTF-16 or of a language."""


class StoreListing(StoreWorkbench):
    """Titles are for people; turns to finish and users are for workers, who see those of everybody."""

    async def test_a_title_is_listed_until_it_is_replaced(self, alice: UserStore) -> None:
        await filled(alice, 1)

        for title in ("a trip", "会话 😀 'quoted' %s\n", "x" * 4000, ""):
            await alice.rename("c", title)
            assert [info.title for info in await alice.conversations()] == [title]

    async def test_a_new_title_needs_no_lease_and_changes_nothing_else(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, conversation="c1")
        await filled(alice, 1, conversation="c2")
        before = await alice.conversations()

        await alice.rename("c1", "new")

        after = await alice.conversations()
        assert [(info.conversation, info.title) for info in after] == [("c2", ""), ("c1", "new")]
        assert [info.updated_at for info in after] == [info.updated_at for info in before]
        await alice.append(writing(lease, 1, new("r2")))
        assert {info.conversation: info.title for info in await alice.conversations()} == {"c1": "new", "c2": ""}

    async def test_what_does_not_exist_gets_no_title(self, alice: UserStore, bob: UserStore) -> None:
        await claimed(alice)

        for name in ("c", "nowhere"):
            with pytest.raises(ConversationNotFound) as caught:
                await bob.rename(name, "mine")
            assert caught.value.conversation == name

        assert [info.title for info in await alice.conversations()] == [""]

    @pytest.mark.parametrize("title", ["a\0b", "\ud800", "x" * 4001], ids=["nul", "surrogate", "long"])
    async def test_a_title_that_cannot_be_stored_is_refused(self, alice: UserStore, title: str) -> None:
        await claimed(alice)
        await alice.rename("c", "good")

        with pytest.raises(InputError):
            await alice.rename("c", title)

        assert [info.title for info in await alice.conversations()] == ["good"]

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["none", "long", "nul", "surrogate"])
    async def test_what_cannot_be_named_gets_no_title(self, alice: UserStore, name: str) -> None:
        with pytest.raises(InputError):
            await alice.rename(name, "title")

    async def test_a_conversation_made_anew_has_no_title(self, alice: UserStore) -> None:
        await alice.release(await claimed(alice))
        await alice.rename("c", "old")
        await alice.delete("c")

        await claimed(alice)

        assert [info.title for info in await alice.conversations()] == [""]

    async def test_one_conversation_is_shown_as_in_the_list(self, alice: UserStore) -> None:
        lease = await filled(alice, 1, 2, conversation="c1")
        await claimed(alice, "c2")
        await alice.rename("c1", "a trip")
        await alice.fork("c1", "c3", at=1)

        for _ in range(2):
            listed = {info.conversation: info for info in await alice.conversations()}
            assert {name: await alice.info(name) for name in ("c1", "c2", "c3")} == listed
            assert (listed["c1"].title, listed["c1"].state, listed["c1"].updated_at > 0) == ("a trip", "open", True)
            await self.advance(0.001)
            await alice.rewind(lease, to=1)
            await alice.rename("c1", "another trip")
            await alice.append(writing(lease, 1, new("a"), state="waiting"))
            await alice.rename("c1", "a trip")
            await alice.append(writing(lease, 2, state="open"))

    async def test_a_conversation_in_which_nothing_was_said_has_no_records(self, alice: UserStore) -> None:
        lease = await claimed(alice)
        assert (await alice.info("c")).records == 0

        await alice.append(writing(lease, 0, new("a"), new("b")))
        assert (await alice.info("c")).records == 2

        await alice.rewind(lease, to=0)
        assert (await alice.info("c")).records == 0

    async def test_a_turn_to_finish_is_found_while_nobody_holds_it(self, store: Store, prefix: str) -> None:
        user = store.for_user(prefix)
        lease = await filled(user, 1)
        assert not await unfinished(store, prefix)

        await user.release(lease)

        (found,) = await unfinished(store, prefix)
        (info,) = await user.conversations()
        assert found == Unfinished(user=prefix, conversation="c", state="open", updated_at=info.updated_at)
        await claimed(user)
        assert not await unfinished(store, prefix)

    async def test_a_turn_to_finish_is_found_when_its_lease_has_ended(self, store: Store, prefix: str) -> None:
        user = store.for_user(prefix)
        lease = await claimed(user, ttl=self.ttl)
        await user.append(writing(lease, 0, new("a")))
        await self.advance(self.ttl * 1.1)

        assert [found.conversation for found in await unfinished(store, prefix)] == ["c"]
        await user.renew(lease, ttl=60)
        assert not await unfinished(store, prefix)

    @pytest.mark.parametrize("state", ["idle", "open", "waiting", "parked"])
    async def test_turns_are_found_by_their_state(self, store: Store, prefix: str, state: TurnState) -> None:
        user = store.for_user(prefix)
        states: list[TurnState] = ["idle", "open", "waiting", "parked"]
        for each in states:
            await user.append(writing(await claimed(user, each), 0, new("a"), state=each, release=True))

        found = await unfinished(store, prefix, state=state)

        assert [(each.conversation, each.state) for each in found] == [(state, state)]
        assert (await claimed(user, state)).state == state

    async def test_turns_of_all_users_are_found_the_longest_unchanged_first(self, store: Store, prefix: str) -> None:
        users = {name: store.for_user(prefix + name) for name in "abc"}
        for conversation, name in (("c1", "b"), ("c2", "a"), ("c1", "c"), ("c2", "b")):
            await self.advance(0.001)
            await users[name].release(await users[name].claim(conversation, owner="w", ttl=60, begin=new("t")))

        found = await unfinished(store, prefix)

        assert [each.user.removeprefix(prefix) for each in found] == ["b", "a", "c", "b"]
        assert [each.conversation for each in found] == ["c1", "c2", "c1", "c2"]

    async def test_of_many_turns_those_unchanged_for_longest_are_found(self, store: Store, prefix: str) -> None:
        user = store.for_user(prefix)
        for n in range(5):
            await user.release(await user.claim(f"c{n}", owner="w", ttl=60, begin=new("t")))
        everything = await store.unfinished(limit=EVERYTHING)

        found = await store.unfinished(limit=3)

        assert len(found) == 3
        # Leases of other data in this place may end meanwhile.
        assert all(each.updated_at >= found[-1].updated_at for each in everything if each not in found)
        assert not await store.unfinished(limit=0)

    async def test_a_finished_deleted_or_rewound_turn_is_found_no_longer(self, store: Store, prefix: str) -> None:
        user = store.for_user(prefix)
        leases = [await filled(user, 1, 1, conversation=f"c{n}") for n in range(4)]

        await user.append(writing(leases[0], 2, state="idle", open_turn=None, release=True))
        await user.rewind(leases[1], to=1)
        for lease in leases[1:]:
            await user.release(lease)
        await user.delete("c2")

        assert [found.conversation for found in await unfinished(store, prefix)] == ["c3"]

    async def test_users_are_listed_in_the_order_of_their_bytes(self, store: Store, prefix: str) -> None:
        for name in reversed(BY_BYTES):
            await claimed(store.for_user(prefix + name))

        assert await users(store, prefix, limit=len(BY_BYTES)) == BY_BYTES
        assert await users(store, prefix, after="a b", limit=2) == ["aa", "é"]
        assert await users(store, prefix, limit=0) == []

    async def test_a_list_of_users_can_be_paged(self, store: Store, prefix: str) -> None:
        names = [f"u{n:02}" for n in range(10)]
        for name in names:
            for conversation in ("c1", "c2"):
                await claimed(store.for_user(prefix + name), conversation)

        seen: list[str] = []
        while len(seen) < len(names):
            page = await users(store, prefix, after=seen[-1] if seen else "", limit=min(3, len(names) - len(seen)))
            assert page
            seen += page

        assert seen == names

    async def test_a_user_without_conversations_is_not_listed(self, store: Store, prefix: str) -> None:
        one, two = store.for_user(f"{prefix}1"), store.for_user(f"{prefix}2")
        for user in (one, two):
            await user.release(await claimed(user))

        await one.delete("c")
        with pytest.raises(ConversationNotFound):
            await store.for_user(f"{prefix}0").read("c")

        assert await users(store, prefix, limit=1) == ["2"]

    async def test_a_store_that_keeps_no_audit_log_has_an_empty_one(self, alice: UserStore) -> None:
        await filled(alice, 1)

        assert not await alice.audit_log()


async def unfinished(store: Store, user: str, *, state: TurnState = "open") -> list[Unfinished]:
    """Return the turns to finish of users whose names begin so."""
    return [found for found in await store.unfinished(state=state, limit=EVERYTHING) if found.user.startswith(user)]


async def users(store: Store, prefix: str, *, after: str = "", limit: int) -> list[str]:
    """Return users whose names begin with `prefix`, without it."""
    return [user.removeprefix(prefix) for user in await store.users(after=prefix + after, limit=limit)]

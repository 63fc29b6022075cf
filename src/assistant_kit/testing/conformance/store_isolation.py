"""Tests of what keeps users and conversations apart, and of what is left of what was deleted."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from uuid import uuid4

import pytest

from assistant_kit.errors import ConversationBusy, ConversationNotFound, InputError, LeaseLost
from assistant_kit.protocols.store import Store, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    BAD_NAMES,
    StoreWorkbench,
    claimed,
    filled,
    ids,
    new,
    writing,
)

LIKE_NAMES = ["c", "C", " c", "c ", "c%", "c_", "c'", 'c"', "c\\", "ç", "c\u0327", "会话", "😀", "c\n", "c" * 255]


class StoreIsolation(StoreWorkbench):
    """A foreign conversation behaves as one that does not exist, and so does a deleted one."""

    async def test_a_foreign_conversation_cannot_be_found(self, alice: UserStore, bob: UserStore) -> None:
        await filled(alice, 1)

        with pytest.raises(ConversationNotFound):
            await bob.read("c")
        with pytest.raises(ConversationNotFound):
            await bob.delete("c")
        with pytest.raises(ConversationNotFound) as caught:
            await bob.info("c")
        assert caught.value.conversation == "c"
        assert await bob.locate("c", "r1") is None
        assert list(await bob.conversations()) == []

    async def test_two_users_may_name_a_conversation_alike(self, alice: UserStore, bob: UserStore) -> None:
        await filled(alice, 1)
        theirs = await claimed(bob, owner="w2")
        await bob.append(writing(theirs, 0, new("b1"), new("b2")))
        await bob.release(theirs)
        await bob.delete("c")

        assert ids(await alice.read("c")) == ["r1"]
        with pytest.raises(ConversationNotFound):
            await bob.read("c")

    async def test_a_lease_opens_nothing_of_another_user(self, alice: UserStore, bob: UserStore) -> None:
        lease = await claimed(alice)
        theirs = await claimed(bob)
        await bob.release(theirs)

        for foreign in (lease, theirs):
            with pytest.raises(LeaseLost):
                await bob.append(writing(foreign, 0, new("a")))
            with pytest.raises(LeaseLost):
                await bob.renew(foreign, ttl=60)
            await bob.release(foreign)

        assert ids(await bob.read("c")) == []
        await alice.append(writing(lease, 0, new("a")))

    async def test_a_lease_opens_no_conversation_that_does_not_exist(self, alice: UserStore, bob: UserStore) -> None:
        lease = await claimed(alice)

        with pytest.raises(LeaseLost):
            await bob.append(writing(lease, 0, new("a")))
        with pytest.raises(LeaseLost):
            await bob.renew(lease, ttl=60)
        await bob.release(lease)

        with pytest.raises(ConversationNotFound):
            await bob.read("c")

    async def test_names_that_look_alike_are_kept_apart(self, store: Store) -> None:
        prefix = str(uuid4())[:30]
        users = [store.for_user(prefix + name[: 255 - 30]) for name in LIKE_NAMES]
        for count, user in enumerate(users, start=1):
            for name in LIKE_NAMES:
                await user.append(writing(await claimed(user, name), 0, *(new(f"{name[:9]}{n}") for n in range(count))))

        for count, user in enumerate(users, start=1):
            listed = {info.conversation: info.records for info in await user.conversations()}
            assert listed == dict.fromkeys(LIKE_NAMES, count)
            for name in LIKE_NAMES:
                assert (await user.info(name)).conversation == name
                assert ids(await user.read(name)) == [f"{name[:9]}{n}" for n in range(count)]

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["none", "long", "nul", "surrogate"])
    async def test_names_that_cannot_be_stored_are_refused(self, store: Store, alice: UserStore, name: str) -> None:
        lease = await claimed(alice)

        with pytest.raises(InputError):
            store.for_user(name)
        with pytest.raises(InputError):
            await alice.claim(name, owner="w1", ttl=60)
        with pytest.raises(InputError):
            await alice.claim("c", owner=name, ttl=60)
        with pytest.raises(InputError):
            await alice.append(writing(lease, 0, new(name)))
        assert [info.conversation for info in await alice.conversations()] == ["c"]

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["none", "long", "nul", "surrogate"])
    async def test_what_cannot_be_named_cannot_be_asked_for(self, alice: UserStore, name: str) -> None:
        await claimed(alice)

        with pytest.raises(InputError):
            await alice.read(name)
        with pytest.raises(InputError):
            await alice.info(name)
        with pytest.raises(InputError):
            await alice.delete(name)
        with pytest.raises(InputError):
            await alice.locate(name, "r1")
        with pytest.raises(InputError):
            await alice.locate("c", name)

    async def test_negative_tokens_are_refused(self, alice: UserStore) -> None:
        lease = await claimed(alice)

        with pytest.raises(InputError):
            await alice.append(writing(lease, 0, new("a", tokens=-1)))

        assert ids(await alice.read("c")) == []

    async def test_a_deleted_conversation_is_gone(self, alice: UserStore) -> None:
        await alice.release(await filled(alice, 1, 2, conversation="c1"))
        await filled(alice, 3, conversation="c2")

        await alice.delete("c1")

        with pytest.raises(ConversationNotFound):
            await alice.read("c1")
        with pytest.raises(ConversationNotFound):
            await alice.delete("c1")
        with pytest.raises(ConversationNotFound):
            await alice.info("c1")
        assert await alice.locate("c1", "r1") is None
        assert [info.conversation for info in await alice.conversations()] == ["c2"]
        assert ids(await alice.read("c2")) == ["r1"]

    async def test_a_held_conversation_is_not_deleted(self, alice: UserStore) -> None:
        await claimed(alice, ttl=60)

        with pytest.raises(ConversationBusy) as caught:
            await alice.delete("c")

        assert 0 < caught.value.retry_after <= 60
        assert ids(await alice.read("c")) == []

    async def test_a_conversation_whose_lease_has_ended_is_deleted(self, alice: UserStore) -> None:
        await claimed(alice, ttl=self.ttl)
        await self.advance(self.ttl * 1.1)

        await alice.delete("c")

        with pytest.raises(ConversationNotFound):
            await alice.read("c")

    async def test_a_conversation_made_anew_begins_empty_and_knows_no_old_lease(self, alice: UserStore) -> None:
        old = await filled(alice, 1, 2)
        for _ in range(3):
            old = await claimed(alice)
        await alice.append(writing(old, 2, new("last"), release=True))
        await alice.delete("c")

        again = await claimed(alice)

        assert (again.seq, again.state, again.open_turn) == (0, "idle", None)
        assert again.fence > old.fence
        with pytest.raises(LeaseLost):
            await alice.append(writing(old, 0, new("zombie")))
        await alice.append(writing(again, 0, new("r1")))
        assert [(record.record_id, record.total_tokens) for record in await alice.read("c")] == [("r1", 1)]

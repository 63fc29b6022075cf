"""The suite for stores with an audit log: each write is a link in its user's chain, and nothing else is."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import json
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.audit import verify
from assistant_kit.audit_chain import FENCE_IS_TIME, GENESIS, AuditLink, digest_of, link_after
from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    InputError,
    LeaseLost,
    NotTransactional,
)
from assistant_kit.protocols.store import Append, Store, UserStore
from assistant_kit.testing.conformance.store_workbench import (
    PATIENCE,
    StoreWorkbench,
    claimed,
    filled,
    new,
    writing,
)


class AuditConformance(StoreWorkbench):
    """The hook is `open_audited`."""

    @abstractmethod
    async def open_audited(self, folder: Path) -> Store:
        """Return the store under test with its audit log; `folder` is empty and the test's own."""

    @pytest.fixture
    async def audited(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Return a store with an audit log that is closed after the test."""
        with anyio.fail_after(PATIENCE):
            store = await self.open_audited(tmp_path)
        try:
            yield store
        finally:
            with anyio.fail_after(PATIENCE):
                await store.aclose()

    @pytest.fixture
    def carol(self, audited: Store, prefix: str) -> UserStore:
        """Return the handle of a user with an audit log; the name is `prefix`."""
        return audited.for_user(prefix)

    async def test_records_are_noted_by_the_hashes_of_their_bodies(self, carol: UserStore) -> None:
        lease = await claimed(carol)

        await carol.append(writing(lease, 0, new("a", tokens=3, body=b"secret"), new("b", body=b"")))

        (link,) = await chain(carol)
        assert told(link) == {
            "v": 2,
            "do": "append",
            "conversation": "c",
            "fence": lease.fence,
            "records": [["a", "note", 3, sha256(b"secret").hexdigest()], ["b", "note", 1, sha256(b"").hexdigest()]],
        }
        assert b"secret" not in (link.payload or b"")

    async def test_a_turn_that_a_claim_begins_is_noted_and_a_claim_is_not(self, carol: UserStore) -> None:
        await claimed(carol, "c1")
        await carol.claim("c2", owner="w", ttl=60, begin=new("t1", body=b"x"))
        lease = await carol.claim("c2", owner="w", ttl=60, begin=new("t2"))
        await carol.append(writing(lease, 1, state="idle", open_turn=None))
        await carol.claim("c2", owner="w", ttl=60, begin=new("t1"))

        (link,) = await chain(carol)
        (record,) = await carol.read("c2")
        assert told(link) == {
            "v": 2,
            "do": "append",
            "conversation": "c2",
            "fence": record.fence,
            "records": [["t1", "note", 1, sha256(b"x").hexdigest()]],
        }

    async def test_records_bear_the_time_of_their_link_and_the_fence_that_it_tells(self, carol: UserStore) -> None:
        for turn in range(3):
            lease = await carol.claim("c", owner="w", ttl=60, begin=new(f"t{turn}"))
            await carol.append(writing(lease, 3 * turn + 1, new(f"a{turn}"), new(f"b{turn}")))
            await carol.append(writing(lease, 3 * turn + 3, state="idle", open_turn=None, release=True))
        await carol.delete("c")
        await carol.claim("c", owner="w", ttl=60, begin=new("again"))
        await carol.fork("c", "d", at=1)
        records = await carol.read("d")

        links = [link for link in await chain(carol) if noted(link)["do"] == "append"]
        assert len(links) == 7
        assert round(records[0].at * 1e6) == links[-1].at_us
        assert records[0].fence == told(links[-1])["fence"]
        fences = [told(link)["fence"] for link in links]
        assert fences == sorted(fences)
        assert len(set(fences)) == 4

    async def test_what_was_written_verifies(self, carol: UserStore) -> None:
        for name in ("c", "d"):
            lease = await carol.claim(name, owner="w", ttl=60, begin=new("t"))
            await carol.append(writing(lease, 1, new("a"), new("b"), state="idle", open_turn=None))
            await carol.rewind(lease, to=2)
            await carol.append(writing(lease, 2, new("c"), state="idle", open_turn=None, release=True))
        await carol.fork("c", "e", at=2)
        await carol.delete("c")

        report = await verify(carol)

        assert report.findings == ()
        assert report.records == 5

    async def test_each_kind_of_change_is_one_link(self, carol: UserStore) -> None:
        lease = await filled(carol, 1, 1)
        await carol.fork("c", "d", at=2)
        await carol.rewind(lease, to=1)
        await carol.rename("c", "título")
        await carol.release(lease)
        await carol.delete("c")

        assert [noted(link) for link in (await chain(carol))[1:]] == [
            {"do": "fork", "conversation": "d", "source": "c", "at": 2},
            {"do": "rewind", "conversation": "c", "to": 1},
            {"do": "rename", "conversation": "c", "title": sha256("título".encode()).hexdigest()},
            {"do": "delete", "conversation": "c"},
        ]

    async def test_a_write_in_a_transaction_is_noted(self, carol: UserStore) -> None:
        lease = await claimed(carol)

        async def work(_: Any) -> Append:
            return writing(lease, 0, new("a"))

        async def failing(_: Any) -> Append:
            raise ZeroDivisionError

        with suppress(NotTransactional):
            await carol.transact(lease, work)
            await carol.transact(lease, work)
            with pytest.raises(ZeroDivisionError):
                await carol.transact(lease, failing)

        assert [noted(link)["do"] for link in await chain(carol)] == (["append"] if self.transactions else [])

    async def test_what_changes_nothing_is_not_noted(self, carol: UserStore) -> None:
        lease = await filled(carol, 1)
        write = writing(lease, 1, new("a"), new("b"))
        await carol.append(write)
        await carol.fork("c", "d", at=1)
        await carol.rewind(lease, to=2)
        await carol.rename("c", "title")
        before = await chain(carol)

        await carol.append(writing(lease, 0, new("r1"), new("a")))
        await carol.append(writing(lease, 2, state="idle", open_turn=None))
        await carol.fork("c", "d", at=1)
        await carol.rewind(lease, to=2)
        await carol.rename("c", "title")
        await carol.renew(lease, ttl=60)
        await carol.release(lease)

        assert await chain(carol) == before
        assert len(before) == 5

    async def test_what_is_refused_is_not_noted(self, carol: UserStore) -> None:
        old = await filled(carol, 1)
        lease = await claimed(carol)
        before = await chain(carol)

        with pytest.raises(LeaseLost):
            await carol.append(writing(old, 1, new("a")))
        with pytest.raises(ConversationConflict):
            await carol.append(writing(lease, 1, new("a"), new("r1")))
        with pytest.raises(LeaseLost):
            await carol.rewind(old, to=0)
        with pytest.raises(InputError):
            await carol.rewind(lease, to=2)
        with pytest.raises(InputError):
            await carol.fork("c", "d", at=2)
        with pytest.raises(ConversationExists):
            await carol.fork("c", "c", at=1)
        with pytest.raises(ConversationNotFound):
            await carol.rename("nowhere", "title")
        with pytest.raises(ConversationNotFound):
            await carol.delete("nowhere")
        with pytest.raises(ConversationBusy):
            await carol.delete("c")

        assert await chain(carol) == before

    async def test_each_user_has_a_chain(self, audited: Store, prefix: str) -> None:
        one, two = audited.for_user(f"{prefix}1"), audited.for_user(f"{prefix}2")
        await filled(one, 1, conversation="c1")
        await filled(two, 1, conversation="c2")
        await filled(one, 1, conversation="c3")

        assert [noted(link)["conversation"] for link in await chain(one)] == ["c1", "c3"]
        assert [noted(link)["conversation"] for link in await chain(two)] == ["c2"]
        assert not await audited.for_user(f"{prefix}3").audit_log()

    async def test_a_chain_can_be_read_in_parts(self, carol: UserStore) -> None:
        lease = await claimed(carol)
        for n in range(6):
            await carol.append(writing(lease, n, new(f"r{n}")))
        links = list(await chain(carol))

        assert list(await carol.audit_log(limit=2)) == links[:2]
        assert list(await carol.audit_log(after=2, limit=3)) == links[2:5]
        assert list(await carol.audit_log(after=-3)) == links
        for after, limit in ((6, 9), (99, 9), (0, 0), (0, -1)):
            assert not await carol.audit_log(after=after, limit=limit)

    async def test_equal_notes_have_digests_of_their_own(self, carol: UserStore) -> None:
        await carol.fork((await filled(carol, 1)).conversation, "d", at=1)
        for _ in range(2):
            await carol.rename("c", "one")
            await carol.rename("c", "two")

        links = await chain(carol)

        assert links[2].payload == links[4].payload
        assert len({link.digest for link in links}) == len(links) == 6

    async def test_writes_at_once_make_one_chain(self, carol: UserStore) -> None:
        leases = [await claimed(carol, f"c{n}") for n in range(20)]

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for n, lease in enumerate(leases):
                    tasks.start_soon(carol.append, writing(lease, 0, new("a")))
                    tasks.start_soon(lambda n=n: carol.rename(f"c{n}", "title"))

        kinds = [noted(link)["do"] for link in await chain(carol)]
        assert (kinds.count("append"), kinds.count("rename"), len(kinds)) == (20, 20, 40)

    async def test_a_chain_outlives_its_conversations(self, audited: Store, prefix: str, carol: UserStore) -> None:
        await carol.release(await filled(carol, 1))
        await carol.delete("c")

        assert [noted(link)["do"] for link in await chain(carol)] == ["append", "delete"]
        assert list(await audited.users(after=prefix[:-1], limit=1)) == [prefix]

    async def test_the_chain_of_an_erased_user_passes_to_a_made_up_one_and_says_nothing(
        self, audited: Store, prefix: str, carol: UserStore
    ) -> None:
        lease = await filled(carol, 1)
        await carol.append(writing(lease, 1, new("a")))
        before = await chain(carol)

        assert await carol.erase() == 1

        assert not await carol.audit_log()
        assert prefix not in await audited.users(after=prefix[:-1], limit=1)
        (name,) = await nameless(audited, before[0])
        assert re.fullmatch("erased-[0-9a-f]{32}", name)
        *links, last = await chain(audited.for_user(name))
        assert [(link.n, link.at_us, link.digest, link.link) for link in links] == [
            (link.n, link.at_us, link.digest, link.link) for link in before
        ]
        assert {(link.payload, link.salt) for link in links} == {(None, None)}
        assert noted(last) == {"do": "erase"}

    async def test_an_erasure_leaves_other_chains_and_a_name_that_begins_anew(
        self, audited: Store, prefix: str, carol: UserStore
    ) -> None:
        other = audited.for_user(f"{prefix}other")
        await filled(carol, 1)
        await filled(other, 1)
        before = await chain(other)

        await carol.erase()
        await filled(carol, 1, conversation="anew")

        assert await chain(other) == before
        assert [noted(link)["conversation"] for link in await chain(carol)] == ["anew"]

    async def test_where_nothing_was_kept_an_erasure_leaves_no_chain(self, audited: Store, carol: UserStore) -> None:
        await filled(carol, 1)
        (link,) = await chain(carol)
        await carol.erase()
        known = set(await erased_users(audited))

        assert await carol.erase() == 0

        assert not await carol.audit_log()
        assert set(await erased_users(audited)) == known
        assert len(await nameless(audited, link)) == 1


def noted(link: AuditLink) -> dict[str, Any]:
    """Return what a link says."""
    assert link.payload is not None
    return json.loads(link.payload)


def told(link: AuditLink) -> dict[str, Any]:
    """Return what a link says, with the fence as a number."""
    said = noted(link)
    return {**said, "fence": link.at_us if said["fence"] == FENCE_IS_TIME else said["fence"]}


async def chain(user: UserStore) -> Sequence[AuditLink]:
    """Return the whole chain of a user, every link of which was checked."""
    links = await user.audit_log()
    previous = GENESIS
    for n, link in enumerate(links, start=1):
        assert link.n == n
        assert link.link == link_after(previous, link.digest, link.at_us)
        assert (link.payload is None) == (link.salt is None)
        assert link.payload is None or link.salt is None or link.digest == digest_of(link.payload, link.salt)
        previous = link.link
    times = [link.at_us for link in links]
    assert times == sorted(times)
    return links


async def erased_users(store: Store) -> Sequence[str]:
    """Return the made-up users to whom chains have passed."""
    return [user for user in await store.users(after="erased-", limit=1_000_000) if user.startswith("erased-")]


async def nameless(store: Store, first: AuditLink) -> list[str]:
    """Return the made-up users whose chain begins with this link."""
    found: list[str] = []
    for name in await erased_users(store):
        links = await store.for_user(name).audit_log(limit=1)
        found += [name] if [link.link for link in links] == [first.link] else []
    return found

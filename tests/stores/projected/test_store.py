from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    InputError,
    LeaseLost,
    ProjectionFailed,
    StoreUnavailable,
)
from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.protocols.store import Append, Lease, Store
from assistant_kit.registry import CHILD
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.projected import ProjectedStore
from assistant_kit.testing.conformance.store import AuditConformance, StoreConformance, TransactionConformance
from tests.faulty_store import FaultyStore, When
from tests.stores.encrypted.sealing import BeforeStore
from tests.stores.projected.rows import (
    Taken,
    into_memory,
    journal_of,
    new,
    once_into_memory,
    over_memory,
    rows_in_memory,
    writing,
)

pytestmark = pytest.mark.anyio

KEYS = MasterKeys({"m1": bytes(32)})


class TestProjectedMemory(StoreConformance, TransactionConformance, AuditConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> ProjectedStore:  # noqa: ARG002  (memory has no place)
        return ProjectedStore(MemoryStore(clock=lambda: self.now), into_memory)

    async def open_audited(self, folder: Path) -> ProjectedStore:  # noqa: ARG002
        return ProjectedStore(MemoryStore(clock=lambda: self.now, audit=True), into_memory)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: dict[str, list[str]], name: str) -> None:
        connection.setdefault("names", []).append(name)

    async def put_names(self, store: Store) -> Sequence[str]:
        assert isinstance(store, ProjectedStore)
        assert isinstance(store.kept, MemoryStore)
        return store.kept.tables.get("names", [])


def failing_from(number: int) -> Projection:
    """Return a projection that writes rows, but fails for the records from this number on."""

    def project(tables: dict[str, Any], written: Projected) -> None:
        into_memory(tables, written)
        if written.seq + len(written.records) > number:
            raise ZeroDivisionError

    return project


async def test_every_write_of_records_has_its_rows() -> None:
    kept, user = over_memory()

    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))
    await user.append(writing(lease, 1, "r2", "r3"))

    async def work(tables: dict[str, Any]) -> Append:
        tables["tool"] = "done"
        return writing(lease, 3, "r4")

    await user.transact(lease, work)
    await user.append(writing(lease, 4, state="idle", open_turn=None, release=True))

    assert rows_in_memory(kept) == await journal_of(user, "u", "c")
    assert [seq for _, _, seq, _ in rows_in_memory(kept)] == [1, 2, 3, 4]
    assert kept.tables["tool"] == "done"


async def test_a_write_without_records_is_not_projected() -> None:
    seen: list[Projected] = []
    _, user = over_memory(lambda _, written: seen.append(written))
    lease = await user.claim("c", owner="w", ttl=60)

    async def work(_: object) -> Append:
        return writing(lease, 0, state="parked")

    await user.append(writing(lease, 0, state="waiting"))
    await user.transact(lease, work)

    assert (await user.claim("c", owner="w", ttl=60)).state == "parked"
    assert not seen


async def test_a_projection_that_fails_undoes_the_write_and_is_named() -> None:
    kept, user = over_memory(failing_from(2))
    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))

    async def work(tables: dict[str, Any]) -> Append:
        tables["tool"] = "done"
        return writing(lease, 1, "r2")

    for write in (user.append(writing(lease, 1, "r2")), user.transact(lease, work)):
        with pytest.raises(ProjectionFailed) as caught:
            await write
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert (caught.value.conversation, caught.value.cause) == ("c", "ZeroDivisionError")
        assert caught.value.projection == "failing_from.<locals>.project"

    assert rows_in_memory(kept) == await journal_of(user, "u", "c") == [("u", "c", 1, "t1")]
    assert "tool" not in kept.tables


async def test_work_that_fails_is_not_projected() -> None:
    seen: list[Projected] = []
    _, user = over_memory(lambda _, written: seen.append(written))
    lease = await user.claim("c", owner="w", ttl=60)

    async def fails(_: object) -> Append:
        raise ProjectionFailed("another", "c", "Error")

    async def strays(_: object) -> Append:
        return writing(Lease(conversation="d", owner="w", fence=1, seq=0, at=0.0), 0, "r1")

    with pytest.raises(ProjectionFailed):
        await user.transact(lease, fails)
    with pytest.raises(InputError):
        await user.transact(lease, strays)

    assert not seen


async def test_a_claim_whose_first_record_cannot_be_projected_gives_the_lease_back() -> None:
    kept, user = over_memory(failing_from(1))

    with pytest.raises(ProjectionFailed):
        await user.claim("c", owner="w1", ttl=60, begin=new("t1"))

    taken = await kept.for_user("u").claim("c", owner="w2", ttl=60)
    assert (taken.seq, taken.state, taken.open_turn) == (0, "idle", None)
    assert not rows_in_memory(kept)


async def test_a_lease_that_cannot_be_given_back_hides_nothing() -> None:
    kept = MemoryStore()
    lost = FaultyStore(kept, fail_at=4)  # of a look at whether it has transactions, claim, append, release
    user = ProjectedStore(lost, failing_from(1)).for_user("u")

    with pytest.raises(ProjectionFailed):
        await user.claim("c", owner="w1", ttl=60, begin=new("t1"))

    with pytest.raises(ConversationBusy):
        await kept.for_user("u").claim("c", owner="w2", ttl=60)


async def test_a_claim_that_is_cancelled_behind_its_lease_keeps_it_or_gives_it_back() -> None:
    kept = MemoryStore()
    scope = anyio.CancelScope()

    async def cancel() -> None:
        scope.cancel()
        await anyio.lowlevel.checkpoint()

    # The first transaction looks whether there are any; the store waits before it gives a lease back.
    slow = BeforeStore(kept, {("transact", 2): cancel, ("release", 1): anyio.lowlevel.checkpoint})
    user = ProjectedStore(cast("Store", slow), into_memory).for_user("u")
    answered: list[Lease] = []
    with scope:
        answered.append(await user.claim("c", owner="w1", ttl=60, begin=new("t1")))
    for lease in answered:
        await kept.for_user("u").release(lease)

    taken = await kept.for_user("u").claim("c", owner="w2", ttl=60)
    assert taken.state == ("open" if answered else "idle")
    assert rows_in_memory(kept) == await journal_of(user, "u", "c")


async def test_a_turn_that_is_not_begun_is_not_projected() -> None:
    kept, user = over_memory()
    await user.release(await user.claim("c", owner="w", ttl=60, begin=new("t1")))

    unfinished = await user.claim("c", owner="w", ttl=60, begin=new("t2"))
    await user.append(writing(unfinished, 1, state="idle", open_turn=None))
    repeated = await user.claim("c", owner="w", ttl=60, begin=new("t1"))
    with pytest.raises(InputError):
        await user.claim("d", owner="w", ttl=60, begin=new("", tokens=1))

    assert (unfinished.begun, unfinished.state, unfinished.open_turn) == (False, "open", 1)
    assert (repeated.begun, repeated.state, repeated.seq) == (False, "idle", 1)
    assert rows_in_memory(kept) == [("u", "c", 1, "t1")]
    assert [info.conversation for info in await user.conversations()] == ["c"]


@pytest.mark.parametrize("projection", [into_memory, once_into_memory])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fail_at", range(2, 6))
async def test_rows_and_records_agree_when_a_write_fails_and_is_repeated(
    fail_at: int, when: When, projection: Projection
) -> None:
    kept = MemoryStore()
    store = ProjectedStore(FaultyStore(kept, fail_at=fail_at, when=when, once=True), projection)
    user = store.for_user("u")

    async def ids_that_agree() -> list[str]:
        journal = await journal_of(user, "u", *[info.conversation for info in await user.conversations()])
        rows = rows_in_memory(kept) or [("u", *key, value) for key, value in kept.tables.get("unique", {}).items()]
        assert rows == journal
        return [record_id for _, _, _, record_id in journal]

    lease: Lease | None = None
    while lease is None:
        with suppress(StoreUnavailable):
            lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))
        await ids_that_agree()
    write = writing(lease, 1, "r2", "r3")
    for _ in range(3):  # twice, and once more for the failure
        with suppress(StoreUnavailable):
            await user.append(write)
        await ids_that_agree()

    assert await ids_that_agree() == ["t1", "r2", "r3"]


async def test_rows_with_unique_keys_do_not_hide_what_the_store_says_of_a_write() -> None:
    _, user = over_memory(once_into_memory)
    old = await user.claim("c", owner="w1", ttl=60, begin=new("t1"))
    lease = await user.claim("c", owner="w1", ttl=60)
    await user.append(writing(lease, 1, "r2"))

    async def repeated(_: object) -> Append:
        return writing(lease, 1, "r2")

    await user.append(writing(lease, 1, "r2"))
    await user.transact(lease, repeated)
    with pytest.raises(LeaseLost):
        await user.append(writing(old, 1, "other"))
    with pytest.raises(ConversationConflict) as caught:
        await user.append(writing(lease, 2, "t1"))
    assert (caught.value.expected, caught.value.found) == (2, 2)
    await user.release(lease)
    await user.delete("c")
    with pytest.raises(LeaseLost):
        await user.append(writing(lease, 1, "r2"))


async def test_rows_with_unique_keys_that_stand_by_themselves_are_a_failure() -> None:
    kept, user = over_memory(once_into_memory)
    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))
    kept.tables["unique"]["c", 2] = "left over"

    for _ in range(2):
        with pytest.raises(ProjectionFailed) as caught:
            await user.append(writing(lease, 1, "r2"))
        assert isinstance(caught.value.__cause__, Taken)

    assert await journal_of(user, "u", "c") == [("u", "c", 1, "t1")]


async def test_hidden_conversations_are_written_as_without_a_projection() -> None:
    kept = MemoryStore()
    counting = FaultyStore(kept)
    store = ProjectedStore(counting, into_memory)
    await store.open()
    user, opened = store.for_user("u"), counting.writes
    hidden = f"{CHILD}kept:0123"

    lease = await user.claim(hidden, owner="w", ttl=60, begin=new("t1"))
    await user.append(writing(lease, 1, "r2"))

    assert (lease.begun, len(await user.read(hidden))) == (True, 2)
    assert counting.writes - opened == 2
    assert not rows_in_memory(kept)


async def test_what_is_asked_of_the_whole_store_is_answered_by_the_wrapped_one() -> None:
    now = 1_000.0
    store = ProjectedStore(MemoryStore(clock=lambda: now), into_memory)
    await store.open()
    await store.for_user("u").claim("c", owner="w", ttl=60, begin=new("t1"))
    now += 61

    assert [found.conversation for found in await store.unfinished()] == ["c"]
    assert await store.users() == ("u",)
    await store.aclose()

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.errors import ConversationBusy, ConversationNotFound, LeaseLost, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.simulation import Faults, FaultyStore, Process, ProcessDied, Rates, VirtualLoop, simulate

BEFORE = Rates(slow=0.0, store_before=1.0, store_after=0.0, store_late=0.0)
AFTER = Rates(slow=0.0, store_before=0.0, store_after=1.0, store_late=0.0)
LATE = Rates(slow=0.0, store_before=0.0, store_after=0.0, store_late=1.0)


class Noted:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def claimed(self, user: str, lease: Lease, ttl: float) -> None:
        self.seen.append(f"{user} claimed {lease.conversation} for {ttl:g}")

    def renewed(self, user: str, lease: Lease, ttl: float) -> None:
        self.seen.append(f"{user} renewed {lease.conversation} for {ttl:g}")

    def gave_up(self, user: str, lease: Lease) -> None:
        self.seen.append(f"{user} gave up {lease.conversation}")

    def changed(self, user: str, conversation: str) -> None:
        self.seen.append(f"{user} changed {conversation}")

    def acknowledged(self, user: str, write: Append) -> None:
        self.seen.append(f"{user} wrote {len(write.records)} to {write.lease.conversation}")

    def failed(self) -> None:
        self.seen.append("failed")


def new(record_id: str) -> NewRecord:
    return NewRecord(record_id=record_id, kind="k", body=b"{}")


def writing(lease: Lease, *records: NewRecord, release: bool = False) -> Append:
    return Append(lease=lease, expected_seq=lease.seq, records=records, state="idle", open_turn=None, release=release)


def with_store(
    test: Callable[[FaultyStore, UserStore, VirtualLoop], Coroutine[Any, Any, None]], *, observer: Noted | None = None
) -> None:
    """Run a test with a store whose faults are off, and what really is in it."""

    async def main(loop: VirtualLoop) -> None:
        faults = Faults(random.Random(1))
        faults.active = False
        real = MemoryStore(clock=loop.time)
        await test(FaultyStore(real, faults, observer), real.for_user("u"), loop)

    simulate(main, seed=1)


async def ids(store: UserStore, conversation: str = "c") -> list[str]:
    return [record.record_id for record in await store.read(conversation)]


async def fails(rates: Rates, store: FaultyStore, work: Callable[[], Awaitable[Any]]) -> None:
    """See that something fails while these faults are on."""
    store.faults.rates, store.faults.active = rates, True
    try:
        with pytest.raises(StoreUnavailable):
            await work()
    finally:
        store.faults.active = False


def test_without_faults_it_is_the_store_behind_it() -> None:
    noted = Noted()

    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        del real, loop
        await store.open()
        user = store.for_user("u")
        lease = await user.claim("c", owner="o", ttl=10.0)
        await user.renew(lease, ttl=20.0)
        await user.append(writing(lease, new("a"), new("b"), release=True))
        assert await ids(user) == ["a", "b"]
        assert await user.locate("c", "b") == 2
        await user.rename("c", "title")
        assert [info.title for info in await user.conversations()] == ["title"]
        assert (await user.info("c")).title == "title"
        await user.fork("c", "d", at=1)
        again = await user.claim("c", owner="o", ttl=10.0)
        await user.rewind(again, to=1)
        await user.release(again)
        assert await ids(user) == ["a"]
        assert await store.unfinished() == ()
        assert await store.users() == ("u",)
        await user.delete("d")
        assert await user.audit_log() == ()
        assert await user.erase() == 1
        await store.aclose()

    with_store(test, observer=noted)
    assert noted.seen == [
        "u claimed c for 10",
        "u changed c",
        "u renewed c for 20",
        "u changed c",
        "u gave up c",
        "u wrote 2 to c",
        "u changed d",
        "u claimed c for 10",
        "u changed c",
        "u changed c",
        "u gave up c",
        "u changed d",
    ]


def test_an_error_before_the_commit_leaves_nothing_and_one_after_it_does() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        user = store.for_user("u")
        lease = await user.claim("c", owner="o", ttl=10.0)
        await fails(BEFORE, store, lambda: user.append(writing(lease, new("a"))))
        assert await ids(real) == []
        await fails(AFTER, store, lambda: user.append(writing(lease, new("a"))))
        assert await ids(real) == ["a"]
        await fails(AFTER, store, lambda: user.read("c"))
        del loop

    with_store(test)


def test_a_late_write_arrives_all_the_same_unless_it_is_refused() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        user = store.for_user("u")
        lease = await user.claim("c", owner="o", ttl=100.0)
        await fails(LATE, store, lambda: user.append(writing(lease, new("a"))))
        assert await ids(real) == []
        await anyio.sleep(6.0)
        assert await ids(real) == ["a"]
        await fails(LATE, store, lambda: user.append(writing(lease, new("b"))))
        await user.release(lease)
        await anyio.sleep(6.0)
        assert await ids(real) == ["a"]
        del loop

    with_store(test)


def test_errors_of_the_store_itself_pass() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        del real, loop
        user = store.for_user("u")
        await user.claim("c", owner="o", ttl=10.0)
        with pytest.raises(ConversationBusy):
            await user.claim("c", owner="another", ttl=10.0)
        with pytest.raises(ConversationNotFound):
            await user.read("d")

    with_store(test, observer=Noted())


async def transact(user: UserStore, record_id: str, *, seconds: float = 0.0, error: Exception | None = None) -> None:
    lease = await user.claim("c", owner="o", ttl=1_000.0)

    async def work(connection: Any) -> Append:
        connection[record_id] = True
        await anyio.sleep(seconds)
        if error is not None:
            raise error
        return writing(lease, new(record_id))

    await user.transact(lease, work)


def test_a_transaction_is_made_or_undone() -> None:
    noted = Noted()

    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        del loop
        user = store.for_user("u")
        await transact(user, "a")
        with pytest.raises(LookupError):
            await transact(user, "b", error=LookupError())
        lease = await user.claim("c", owner="o", ttl=1_000.0)

        async def write(record_id: str) -> None:
            async def work(connection: Any) -> Append:
                connection[record_id] = True
                await checkpoint()
                return writing(lease, new(record_id))

            await user.transact(lease, work)

        await fails(BEFORE, store, lambda: write("c"))
        assert await ids(real) == ["a"]
        await fails(AFTER, store, lambda: write("d"))
        assert await ids(real) == ["a", "d"]
        assert isinstance(store.store, MemoryStore)
        assert set(store.store.tables) == {"a", "d"}

    with_store(test, observer=noted)
    assert noted.seen.count("failed") == 2
    assert noted.seen.count("u wrote 1 to c") == 1


def test_a_transaction_that_is_refused_tells_so() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        del loop
        user = store.for_user("u")
        lease = await user.claim("c", owner="o", ttl=10.0)
        await real.claim("c", owner="o", ttl=10.0)

        async def work(connection: Any) -> Append:
            del connection
            await checkpoint()
            return writing(lease, new("a"))

        with pytest.raises(LeaseLost):
            await user.transact(lease, work)

    with_store(test)


def test_the_transaction_of_a_killed_or_frozen_process_is_undone_and_lets_others_in() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        user = store.for_user("u")
        killed, frozen = Process("killed", loop), Process("frozen", loop)
        reply = killed.call(lambda: transact(user, "a", seconds=2.0))
        await anyio.sleep(1.0)
        killed.kill()
        with pytest.raises(ProcessDied):
            await reply.wait()
        zombie = frozen.call(lambda: transact(user, "b", seconds=2.0))
        await anyio.sleep(1.0)
        frozen.freeze(60.0)
        await transact(user, "c")
        assert await ids(real) == ["c"]
        with pytest.raises(StoreUnavailable):
            await zombie.wait()
        assert isinstance(store.store, MemoryStore)
        assert set(store.store.tables) == {"c"}
        killed.dispose()

    with_store(test)


def test_a_transaction_is_undone_when_its_work_is_cancelled() -> None:
    async def test(store: FaultyStore, real: UserStore, loop: VirtualLoop) -> None:
        del loop
        user = store.for_user("u")
        with anyio.move_on_after(1.0) as scope:
            await transact(user, "a", seconds=2.0)
        assert scope.cancelled_caught
        await transact(user, "b")
        assert await ids(real) == ["b"]

    with_store(test)

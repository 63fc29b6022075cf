"""Workers that put, read, delete, erase and renew keys at the same time, in many orders, over one place."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.protocols.artifact_store import ArtifactNotFound
from tests.artifact_stores.encrypted.places import BOTH, LATER, Meddled, inside
from tests.policies.timing import in_virtual_time

WORKERS, STEPS = 3, 8


class World:
    """One place, and what must be there in the end: all that was put after the last erasure and not deleted."""

    def __init__(self, seed: int) -> None:
        self.place = Meddled()
        self.place.meddle = _let_others
        self.chance = random.Random(seed)
        self.erasing = 0
        self.erased = 0  # erasures that have begun or ended, by which a put knows that one was at its side
        self.must_be_there: dict[str, bytes] = {}
        self.may_be_there: dict[str, bytes] = {}

    async def work(self) -> None:
        store = EncryptedArtifactStore(self.place, BOTH, clock=_now)
        steps: list[Callable[[EncryptedArtifactStore], Awaitable[None]]] = [
            self.put,
            self.put,
            self.put,
            self.look,
            self.delete,
            self.erase,
            self.renew,
        ]
        for _ in range(STEPS):
            await self.chance.choice(steps)(store)

    async def put(self, store: EncryptedArtifactStore) -> None:
        data, before, alone = self.chance.randbytes(5), self.erased, not self.erasing
        made = await store.for_user("ann").put(data, name="x")
        self.may_be_there[made.id] = data
        if alone and self.erased == before:
            self.must_be_there[made.id] = data

    async def look(self, store: EncryptedArtifactStore) -> None:
        for artifact in await store.for_user("ann").list():
            with suppress(ArtifactNotFound):  # deleted or erased meanwhile
                await store.for_user("ann").read(artifact.id)

    async def delete(self, store: EncryptedArtifactStore) -> None:
        if self.must_be_there:
            name = self.chance.choice(sorted(self.must_be_there))
            del self.must_be_there[name], self.may_be_there[name]
            await store.for_user("ann").delete(name)

    async def erase(self, store: EncryptedArtifactStore) -> None:
        self.must_be_there.clear()
        self.erasing += 1
        self.erased += 1
        await store.for_user("ann").erase()
        self.erasing -= 1
        self.erased += 1

    async def renew(self, store: EncryptedArtifactStore) -> None:
        await store.rotate("ann")


@pytest.mark.parametrize("seed", range(100))
def test_what_was_put_stays_whole_and_what_was_erased_is_gone_in_any_order(seed: int) -> None:
    async def live() -> None:
        world = World(seed)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(WORKERS):
                    group.start_soon(world.work)
        later = EncryptedArtifactStore(world.place, BOTH, clock=lambda: LATER).for_user("ann")
        found = {each.id: await later.read(each.id) for each in await later.list(limit=1000)}

        assert found.items() >= world.must_be_there.items()
        assert world.may_be_there.items() >= found.items()
        assert len(await inside(world.place.memory, "facts").list(limit=1000)) == len(found)

    in_virtual_time("asyncio", live, seed=seed)


def _now() -> float:
    """Return a time at which everything has just been put."""
    return 0.0


async def _let_others(_kind: str, _method: str) -> None:
    await anyio.lowlevel.checkpoint()

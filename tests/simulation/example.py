"""The example of docs/simulation.md: workers that die, a faulty store, and a client that does not give up."""

import random

import anyio

from assistant_kit import Assistant, StoreError
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing import Say, ScriptedModel
from assistant_kit.testing.simulation import Faults, FaultyStore, Process, ProcessDied, VirtualLoop, simulate


async def main(loop: VirtualLoop) -> str:
    """Ask one worker after the other, until one lives long enough to answer."""
    store = MemoryStore(clock=loop.time)
    faults = Faults(random.Random(7))

    async def ask() -> str:
        assistant = Assistant(ScriptedModel([Say("Hello.")]), store=FaultyStore(store, faults))
        return (await assistant.run("Hi", user="u1", conversation="c1", request_id="r1")).output

    while True:
        worker = Process("worker", loop, disturb=faults.disturb, fuse=faults.fuse())
        try:
            return await worker.call(ask).wait()
        except (ProcessDied, StoreError):
            await anyio.sleep(30.0)


def run() -> str:
    """Return the answer; for one seed it is always come by in the same way."""
    return simulate(main, seed=7)

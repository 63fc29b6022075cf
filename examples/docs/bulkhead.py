"""A service that can take two requests at once: who waits, who is shed, and who is told at once."""

import asyncio

from assistant_kit import Overloaded, guarded
from assistant_kit.policies.bulkhead import Bulkhead
from assistant_kit.protocols.policy import Call, Priority


class Summaries:
    """Answers when its machine is free."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def of(self, text: str) -> str:
        await self.free.wait()
        return f"summary of {text}"


# --8<-- [start:use]
bulkhead = Bulkhead(2, queue=2, max_wait=30.0)


async def summary(service: Summaries, text: str, priority: Priority) -> str:
    async def ask() -> str:
        return await service.of(text)

    try:
        return await guarded(ask, bulkhead, name="summaries", effect="read", call=Call(name="", priority=priority))
    except Overloaded as error:  # nothing was sent
        return f"not now: {error.limit} run, {error.waiting} wait"


# --8<-- [end:use]


async def main() -> None:
    service, tasks = Summaries(), list[asyncio.Task[None]]()

    async def show(text: str, priority: Priority) -> None:
        print(f"{text}: {await summary(service, text, priority)}")

    for number in range(1, 5):
        tasks.append(asyncio.create_task(show(f"report {number}", "background")))
    await asyncio.sleep(0)
    print("-- somebody asks, and waits for the answer")
    tasks.append(asyncio.create_task(show("question", "interactive")))
    await asyncio.sleep(0.01)
    print("-- one more report")
    tasks.append(asyncio.create_task(show("report 5", "background")))
    await asyncio.sleep(0.01)
    # --8<-- [start:health]
    for name, condition in bulkhead.health().items():
        waiting = condition.data["waiting"]
        print(f"-- {name}: {condition.state}, {condition.data['running']} run, waiting {waiting}")
    # --8<-- [end:health]
    service.free.set()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())

"""Fifty workers on twenty conversations: no turn is lost, doubled or mixed with another."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.protocols.store import Record, Store
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.registry import make_store
from assistant_kit.run.options import RunOptions
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.chaos.judge import Acknowledged, Evidence, judge
from tests.chaos.orders import Clerk, Deed, Order, tools

pytestmark = pytest.mark.anyio

WORKERS = 50
CONVERSATIONS = 20
RUNS = 4  # of each worker
STORES = 5  # processes have one each; here ten workers share one

StoreName = Literal["memory", "sqlite", "postgres", "redis"]


@dataclass
class Outdoors:
    """What the tools did."""

    deeds: list[Deed] = field(default_factory=list[Deed])

    async def do(self, deed: Deed, context: ToolContext) -> None:
        del context
        await checkpoint()
        self.deeds.append(deed)
        await checkpoint()


@pytest.fixture(params=["memory", "sqlite", "postgres", "redis"])
def addresses(request: pytest.FixtureRequest, tmp_path: Path) -> Sequence[str]:
    """The addresses of several stores that are one place; in memory there is only one store."""
    match request.param:
        case "memory":
            return ["memory:"]
        case "sqlite":
            return [f"sqlite:///{tmp_path / 'chat.db'}"] * STORES
        case "postgres":
            return [request.getfixturevalue("postgres_url")] * STORES
        case _:
            return [request.getfixturevalue("valkey_url")] * STORES


async def test_fifty_workers_on_twenty_conversations_lose_double_and_mix_nothing(
    addresses: Sequence[str], anyio_backend: str
) -> None:
    rng = random.Random(7)
    user = f"two writers on {anyio_backend}"
    outdoors = Outdoors()
    told: list[Acknowledged] = []
    stores = [make_store(address) for address in addresses]

    async def work(worker: int, conversations: Sequence[str]) -> None:
        store = stores[worker % len(stores)]
        context = Context(token_counter=UpperBound())
        assistant = Assistant(Clerk(), tools=tools(outdoors, "pay"), store=store, context=context)
        async with assistant:
            for number, conversation in enumerate(conversations):
                order = Order(name=f"w{worker}.{number}", kind="pay")
                options = RunOptions(user=user, conversation=conversation, request_id=order.name)
                options["on_busy"] = rng.choice(("wait", "queue"))
                result = await assistant.run(order.text, **options)
                told.append(Acknowledged(order=order.name, outcome="completed", text=result.text))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for worker in range(WORKERS):
                chosen = [f"c{rng.randrange(CONVERSATIONS)}" for _ in range(RUNS)]
                group.start_soon(work, worker, chosen)
        evidence = Evidence(journals=await journals(stores[0], user), deeds=outdoors.deeds, acknowledged=told)
        for store in stores:
            await store.aclose()

    verdict = judge(evidence)
    assert verdict.violations == []
    assert verdict.unknown == 0
    assert len(told) == len(verdict.turns) == len(outdoors.deeds) == WORKERS * RUNS
    assert Counter(turn.outcome for turn in verdict.turns) == {"completed": WORKERS * RUNS}


async def journals(store: Store, user: str) -> dict[tuple[str, str], Sequence[Record]]:
    handle = store.for_user(user)
    return {(user, info.conversation): await handle.read(info.conversation) for info in await handle.conversations()}

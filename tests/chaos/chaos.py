"""One run of chaos: drive, collect what is left, judge."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from assistant_kit.errors import ConversationBusy
from assistant_kit.protocols.store import Record
from tests.chaos.clients import Clients
from tests.chaos.driving import Driver
from tests.chaos.fleet import Fleet
from tests.chaos.judge import Evidence, Verdict, judge
from tests.chaos.outside import deeds_in
from tests.chaos.places import Place, StoreName, place
from tests.chaos.turns import Violation
from tests.chaos.worker import Worker

COLLECTING = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run has come to."""

    driver: Driver
    verdict: Verdict
    calls: int
    seconds: float

    @property
    def figures(self) -> dict[str, object]:
        """The figures of the last line, in their order."""
        clients, verdict = self.driver.clients, self.verdict
        outcomes = [turn.outcome for turn in verdict.turns]
        return {
            "kills": self.driver.kills,
            "stops": self.driver.stops,
            "turns": len(verdict.turns),
            "calls": self.calls,
            "doubled": verdict.count("doubled"),
            "lost": verdict.count("lost"),
            "unknown": verdict.unknown,
            "broken": verdict.count("broken"),
            "acknowledged": len(clients.acknowledged),
            "abandoned": clients.abandoned,
            "failed": outcomes.count("failed"),
            "cancelled": outcomes.count("cancelled"),
            "recovery_p50": f"{_quantile(clients.recovered, 0.5):.2f}",
            "recovery_p99": f"{_quantile(clients.recovered, 0.99):.2f}",
            "seconds": f"{self.seconds:.0f}",
        }


def run(store: StoreName, *, kills: int, stops: int, seed: int, folder: Path) -> Run:
    """Run chaos on a store. Logs, journals and effects are in `folder`."""
    begun = time.monotonic()
    rng = random.Random(seed)
    effects = folder / "effects"
    effects.touch()
    with place(store, folder) as where:
        anyio.run(_keep_audit, where)
        fleet = Fleet(partial(_worker, where, effects), folder)
        driver = Driver(fleet=fleet, clients=Clients(rng=rng, kinds=where.kinds), rng=rng, folder=folder)
        try:
            driver.run(kills=kills, stops=stops)
        finally:
            fleet.kill_all()
        evidence = anyio.run(_collect, where)
        evidence.deeds = [*deeds_in(effects), *where.written()]
        evidence.acknowledged = driver.clients.acknowledged
    verdict = judge(evidence)
    verdict.violations += [Violation(blame="broken", text=failure) for failure in driver.failures]
    return Run(driver=driver, verdict=verdict, calls=len(evidence.deeds), seconds=time.monotonic() - begun)


def _worker(where: Place, effects: Path, commands: int, replies: int) -> Worker:
    return Worker(store=where.opens(), effects=str(effects), tool_names=where.tools, commands=commands, replies=replies)


async def _keep_audit(where: Place) -> None:
    """Let the store keep audit chains, for good."""
    store = where.opens(audit=True)
    await store.open()
    await store.aclose()


async def _collect(where: Place) -> Evidence:
    """Read all journals, and see that nobody holds any of them."""
    store = where.opens()
    journals: dict[tuple[str, str], Sequence[Record]] = {}
    held: list[str] = []
    with anyio.fail_after(COLLECTING):
        for name in await store.users():
            user = store.for_user(name)
            for info in await user.conversations(limit=1000):
                journals[name, info.conversation] = await user.read(info.conversation)
                try:
                    await user.release(await user.claim(info.conversation, owner="judge", ttl=1.0))
                except ConversationBusy:
                    held.append(f"{name}/{info.conversation}")
        audited = {name: await store.for_user(name).audit_log(limit=1_000_000) for name in await store.users()}
    await store.aclose()
    return Evidence(
        journals=journals, deeds=(), held=held, audited={name: links for name, links in audited.items() if links}
    )


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

"""The race, which shows that never one call is over the quota and that what the dead have reserved comes back."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import anyio

from assistant_kit.policies.quota import Standing
from assistant_kit.shared_states.memory import MemoryState
from tests.quota_race.crowd import Outcome, crowd, opened, quotas
from tests.services.postgres import running_postgres
from tests.services.valkey import running_valkey

StoreName: TypeAlias = Literal["memory", "sqlite", "postgres", "redis"]
ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which workers that do not answer are killed, and the race has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many calls in all, by how many workers, against which quota, and how long a reservation lives."""

    runs: int
    quota: int
    workers: int = 4
    lease: float = 5.0

    @property
    def half(self) -> int:
        """How many workers are killed."""
        return self.workers // 2

    def share(self, workers: int) -> list[int]:
        """How many calls each of some workers makes."""
        return [self.runs // workers + (index < self.runs % workers) for index in range(workers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came out: calls that were admitted; more or fewer than the quota; held by the killed, and given back."""

    runs: int
    admitted: int
    over: int
    short: int
    held_by_killed: int
    returned: int

    @property
    def wrong(self) -> bool:
        """Whether the quota did not hold, was not used up, or lost what the killed had reserved."""
        return bool(self.over or self.short or self.returned != self.held_by_killed)


class Worker:
    """A process that makes calls."""

    def __init__(self, number: int, store: StoreName, where: str, lease: float) -> None:
        loop = ("asyncio", "trio")[number % 2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.quota_race.worker", loop, store, where, str(lease)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def tell(self, **words: object) -> None:
        """Say something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for an answer; that of a worker that has failed is an error."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self.process.kill()

    def close(self) -> None:
        """End it, and free what was held for it."""
        with self.process:
            self.kill()


@contextmanager
def place(store: StoreName) -> Generator[str]:
    """Where a shared place of this kind is, for the time of the block."""
    with ExitStack() as stack:
        if store == "sqlite":
            yield str(Path(stack.enter_context(TemporaryDirectory(prefix="assistant-kit-quota-")), "state.db"))
        elif store == "postgres":
            yield stack.enter_context(running_postgres())
        else:
            yield stack.enter_context(running_valkey())


def race(store: StoreName, plan: Plan) -> Figures:
    """Run the race on one kind of shared place."""
    if store == "memory":
        return _figures(plan, _in_threads(plan), [], [])
    with place(store) as where, _staff(store, where, plan) as workers:
        admitted = _wave(workers, plan, "race", hold=False)
        _ended(workers)
        held = _wave(workers, plan, "killed", hold=True)
        dead, living = workers[: plan.half], workers[plan.half :]
        for worker in dead:
            worker.close()
        for worker in living:
            worker.tell()
        _ended(living)
        anyio.run(_come_back, store, where, plan)
        again = _wave(living, plan, "killed", hold=False)
        _ended(living)
        return _figures(plan, admitted, held, again)


def _figures(plan: Plan, admitted: Sequence[int], held: Sequence[int], again: Sequence[int]) -> Figures:
    expected = min(plan.runs, plan.quota)
    sums = [sum(admitted), sum(held), sum(held[plan.half :]) + sum(again)] if held else [sum(admitted)]
    return Figures(
        runs=plan.runs * len(sums),
        admitted=sum(sums),
        over=sum(max(0, made - expected) for made in sums),
        short=sum(max(0, expected - made) for made in sums),
        held_by_killed=sum(held[: plan.half]),
        returned=sum(again),
    )


@contextmanager
def _staff(store: StoreName, where: str, plan: Plan) -> Generator[list[Worker]]:
    workers = [Worker(number, store, where, plan.lease) for number in range(plan.workers)]
    guard = threading.Timer(PATIENCE, lambda: [worker.kill() for worker in workers])
    guard.start()
    try:
        for worker in workers:
            worker.hear()
        yield workers
    finally:
        guard.cancel()
        for worker in workers:
            worker.close()


def _wave(workers: Sequence[Worker], plan: Plan, quota: str, *, hold: bool) -> list[int]:
    """Let workers make all calls at once; return how many were admitted, by worker."""
    for worker, runs in zip(workers, plan.share(len(workers)), strict=True):
        worker.tell(quota=quota, limit=plan.quota, runs=runs, hold=hold)
    return [worker.hear()["admitted"] for worker in workers]


def _ended(workers: Iterable[Worker]) -> None:
    for worker in workers:
        assert worker.hear() == {"ended": True}


async def _come_back(store: StoreName, where: str, plan: Plan) -> None:
    """Wait until nothing is reserved any more: nobody who reserved anything lives."""
    state = opened(store, where)
    with anyio.fail_after(plan.lease + 20):
        while (await _standing(state, plan)).reserved:  # noqa: ASYNC110  (a lease ends without telling)
            await anyio.sleep(0.05)
    await state.aclose()


async def _standing(state: Any, plan: Plan) -> Standing:
    (standing,) = await quotas(state, "killed", plan.quota, plan.lease).standing()
    return standing


def _in_threads(plan: Plan) -> list[int]:
    """The race in one process: a place in memory is shared by threads, and dies with them."""
    shared, barrier = quotas(MemoryState(), "race", plan.quota, plan.lease), threading.Barrier(plan.workers)
    outcomes: list[Outcome] = []

    def work(number: int, runs: int) -> None:
        barrier.wait(PATIENCE)
        ask = partial(crowd, shared, runs, decided=lambda _: None, end=None)
        outcomes.append(anyio.run(ask, backend=("asyncio", "trio")[number % 2]))

    threads = [threading.Thread(target=work, args=each) for each in enumerate(plan.share(plan.workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return [outcome.admitted for outcome in outcomes]

"""Every point of every scenario: one trial for each, and for pairs one for each two."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from tests.crash_sweep.scenarios import SCENARIOS, Recovery, Scenario
from tests.crash_sweep.trial import Setting, Trial, trial

Backend: TypeAlias = Literal["asyncio", "trio"]
RECOVERIES: tuple[Recovery, ...] = ("resume", "next run", "recover", "repeat")
SHORTEST = ("a plain answer", "one tool")
ON_DISK = ("one tool", "approval and resume", "tools in the journal's transaction")

CANCELLED = (
    Setting(recovery="repeat", ending="cancellation"),
    Setting(recovery="next run", ending="cancellation", streamed=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A scenario in a setting, on an event loop."""

    backend: Backend
    scenario: Scenario
    setting: Setting

    def __str__(self) -> str:
        return f"{self.scenario.name} ({self.backend}, {self.setting})"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep has come to. `say` is told of each violation."""

    say: Callable[[str], None]
    points: int = 0
    violations: int = 0
    scenarios: set[str] = field(default_factory=set[str])

    def note(self, plan: Plan, ends: tuple[int, ...], done: Trial) -> None:
        """Count a trial; one in which fewer have ended than should is no point."""
        self.scenarios.add(plan.scenario.name)
        self.points += len(done.ends) == len(ends)
        self.violations += len(done.verdict.violations)
        for violation in done.verdict.violations:
            self.say(f"{plan} at {ends}, {done.ends}: {violation.blame}: {violation.text}")


def settings(*, full: bool) -> Iterator[Setting]:
    """The settings on the memory store: all, or those in which each two choices occur together."""
    for streamed, recovery, audited in product((False, True), RECOVERIES, (False, True)):
        for named in (True, False):
            usual = audited == (streamed != (recovery in ("resume", "recover"))) and (named or not streamed)
            if (full or usual) and (named or recovery != "repeat"):
                yield Setting(streamed=streamed, recovery=recovery, audited=audited, named=named)


def plans(*, full: bool) -> Iterator[Plan]:
    """What is swept: everything on asyncio, and in the short form less on trio and on disk."""
    backends: tuple[Backend, ...] = ("asyncio", "trio")
    for backend, scenario in product(backends, SCENARIOS):
        for setting in settings(full=full):
            if full or backend == "asyncio" or (setting.recovery == "recover" and setting.named):
                yield from _fitting(backend, scenario, setting)
        for setting in CANCELLED if full or backend == "trio" else CANCELLED[:1]:
            yield from _fitting(backend, scenario, setting)
        for recovery in RECOVERIES:
            if full or (backend == "asyncio" and scenario.name in ON_DISK and recovery in ("recover", "repeat")):
                setting = Setting(store="sqlite", recovery=recovery, audited=recovery == "recover")
                yield from _fitting(backend, scenario, setting)


def _fitting(backend: Backend, scenario: Scenario, setting: Setting) -> Iterator[Plan]:
    if setting.streamed or scenario.leave_after is None:  # only a stream is left
        yield Plan(backend=backend, scenario=scenario, setting=setting)


def pair_plans() -> Iterator[Plan]:
    """The plans of which all pairs are tried."""
    return (plan for plan in plans(full=True) if plan.scenario.name in SHORTEST and plan.setting.store == "memory")


async def sweep(plan: Plan, tally: Tally) -> None:
    """Let a worker die at each point, and another one recover."""
    for end in count():
        if not (await _try(plan, tally, end)).ends:
            return


async def sweep_pairs(plan: Plan, tally: Tally) -> None:
    """Let a worker die at each point, and the one that recovers at each of its own."""
    for first in count():
        for second in count():
            ended = (await _try(plan, tally, first, second)).ends
            if not ended:
                return
            if len(ended) == 1:
                break


async def _try(plan: Plan, tally: Tally, *ends: int) -> Trial:
    on_disk = plan.setting.store == "sqlite"
    with TemporaryDirectory() if on_disk else nullcontext("") as folder:
        done = await trial(plan.scenario, plan.setting, Path(folder), *ends)
    tally.note(plan, ends, done)
    return done

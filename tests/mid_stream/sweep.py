"""All cases, many at once: what hangs costs time and no work, so it runs beside the others."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from assistant_kit.errors import AssistantKitError
from tests.mid_stream.cases import PLACES, WIRES, Case, cases
from tests.mid_stream.judge import violations
from tests.mid_stream.provider import event_count
from tests.mid_stream.trial import World, opened, trial

AT_ONCE = 8
"""Cases that run side by side; of those in which a stream hangs, which wait most of their time, more."""
HANGING = 40
_LIMIT = 60.0
"""Seconds for one case."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep has come to. `say` is told of each violation; `outcomes` are counted by policy and reach."""

    say: Callable[[str], None]
    cases: int = 0
    violations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])

    def note(self, case: Case, outcome: str, found: Sequence[str]) -> None:
        """Count a case."""
        self.cases += 1
        self.violations += len(found)
        self.outcomes[f"{case.policy}, {case.reach}: {outcome}"] += 1
        for text in found:
            self.say(f"case {case}: {text}")


def all_cases() -> list[Case]:
    """Return every case there is."""
    return [case for wire in WIRES for where in PLACES for case in cases(wire, where, event_count(wire, where))]


async def sweep(chosen: Sequence[Case], tally: Tally, folder: Path, *, silence: float = 2.0) -> None:
    """Try the cases. A stream that hangs is given up after `silence` seconds."""
    hanging = iter([case for case in chosen if case.kind == "hang"])
    others = iter([case for case in chosen if case.kind != "hang"])

    async def work(left: Iterator[Case]) -> None:
        for case in left:
            await _try(case, tally, world)

    async with opened(folder, silence) as world, anyio.create_task_group() as group:
        for left in [hanging] * HANGING + [others] * AT_ONCE:
            group.start_soon(work, left)
    for request in world.server.requests:
        if request.problem is not None:
            tally.violations += 1
            tally.say(f"a request was refused: {request.problem}")


async def _try(case: Case, tally: Tally, world: World) -> None:
    try:
        with anyio.fail_after(_LIMIT):
            observed = await trial(case, world)
    except (AssistantKitError, TimeoutError) as error:
        tally.note(case, "stuck", [repr(error)])
        return
    tally.note(case, "completed" if observed.completed else "failed", list(violations(case, observed)))

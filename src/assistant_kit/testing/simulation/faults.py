"""What goes wrong in a simulation: how often, how badly, decided by a seed, and counted."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.testing.simulation.process import Process, current_process

StoreFault: TypeAlias = Literal["before", "after", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often things go wrong.

    `crash` and `freeze` are per callback of a process; a freeze lasts from `shortest_freeze` to `longest_freeze`
    seconds. Per call of a store: `store_before` (an error, and nothing was written), `store_after` (an error, although
    it was written), `store_late` (an error, and it is written later all the same). `slow` is the chance that a way
    through the network takes up to `slowest` seconds.
    """

    crash: float = 0.004
    freeze: float = 0.003
    shortest_freeze: float = 0.5
    longest_freeze: float = 240.0
    store_before: float = 0.02
    store_after: float = 0.02
    store_late: float = 0.01
    slow: float = 0.15
    slowest: float = 1.0


class Faults:
    """Decides by chance what goes wrong, until it is told to stop; `counted` says how often what did.

    `notice` is told each time what goes wrong, and in which process.
    """

    def __init__(
        self,
        chance: random.Random,
        rates: Rates | None = None,
        *,
        notice: Callable[[str, Process | None], object] | None = None,
    ) -> None:
        """Take where chance comes from."""
        self.chance = chance
        self.rates: Rates = Rates() if rates is None else rates
        self.active = True
        self.counted: Counter[str] = Counter()
        self._notice = notice

    def count(self, kind: str, process: Process | None = None) -> None:
        """Count an accident."""
        self.counted[kind] += 1
        if self._notice is not None:
            self._notice(kind, process or current_process())

    def strikes(self, kind: str, rate: float) -> bool:
        """Decide whether something goes wrong now, and count it under `kind`."""
        if not self.active or self.chance.random() >= rate:
            return False
        self.count(kind)
        return True

    def fuse(self) -> int:
        """Return the number of callbacks until the next accident of a process; 0 for never."""
        rate = self.rates.crash + self.rates.freeze
        return 1 + int(self.chance.expovariate(rate)) if self.active and rate else 0

    def disturb(self, process: Process) -> None:
        """Kill or freeze a process; for `Process(disturb=…)`."""
        process.fuse = self.fuse()
        if not self.active:
            return
        rates = self.rates
        if self.chance.random() * (rates.crash + rates.freeze) < rates.crash:
            self.count("crash", process)
            process.kill()
        else:
            self.count("freeze", process)
            # As many freezes of a second as of minutes: half of the powers of ten, not of the seconds.
            span = rates.longest_freeze / rates.shortest_freeze
            process.freeze(rates.shortest_freeze * span ** self.chance.random())

    def store(self) -> StoreFault | None:
        """Decide what goes wrong with a call of a store."""
        if not self.active:
            return None
        rates, drawn = self.rates, self.chance.random()
        faults: tuple[tuple[StoreFault, float], ...] = (
            ("before", rates.store_before),
            ("after", rates.store_after),
            ("late", rates.store_late),
        )
        for fault, rate in faults:
            if drawn < rate:
                self.count(f"store_{fault}")
                return fault
            drawn -= rate
        return None

    async def travel(self) -> None:
        """Go through the network: mostly at once, sometimes slowly. Others go on meanwhile, in any case."""
        if self.chance.random() < self.rates.slow:
            await anyio.sleep(self.chance.random() ** 3 * self.rates.slowest)
        else:
            await checkpoint()

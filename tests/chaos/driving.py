"""The driver: keeps workers busy, kills and freezes them at random moments, and lets everything finish at the end."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.fleet import Fleet, Process
from tests.chaos.worker import LEASE, Command

WORKERS = 3
BETWEEN_FAULTS = 0.55  # seconds, on average
FROZEN = (1.2 * LEASE.ttl, 2.2 * LEASE.ttl)
FAILURES = 10  # more are the end of the run
PATIENCE = 60.0  # seconds until everything must be finished after the last fault


@dataclass(slots=True, kw_only=True)
class Driver:
    """One run. What goes wrong with the processes themselves is in `failures`."""

    fleet: Fleet
    clients: Clients
    rng: random.Random
    folder: Path
    kills: int = 0
    stops: int = 0
    failures: list[str] = field(default_factory=list[str])
    _by_name: dict[str, Process] = field(default_factory=dict[str, Process])

    def run(self, *, kills: int, stops: int) -> None:
        """Do so many faults, then let everything finish."""
        for _ in range(WORKERS):
            self._start()
        faults = ["kill"] * kills + ["stop"] * stops
        self.rng.shuffle(faults)
        next_fault = time.monotonic() + 1.0
        while faults:
            now = time.monotonic()
            if now >= next_fault:
                next_fault = now + self.rng.expovariate(1 / BETWEEN_FAULTS)
                faults = self._fault(faults, now)
            self.clients.order_more(now)
            self._turn(now)
        self._finish()

    def _start(self) -> None:
        process = self.fleet.start()
        self._by_name[process.name] = process

    def _fault(self, faults: list[str], now: float) -> list[str]:
        """Do the next fault that is possible: one worker at least goes on."""
        running = [process for process in self.fleet.processes if not process.frozen_until]
        if faults[-1] == "kill":
            self._kill(self.rng.choice(self.fleet.processes), now)
        elif len(running) > 1:
            self.fleet.freeze(self.rng.choice(running), self.rng.uniform(*FROZEN))
            self.stops += 1
        else:
            return faults
        return faults[:-1]

    def _kill(self, process: Process, now: float) -> None:
        for reply in self.fleet.kill(process):
            self.clients.take(reply, now)
        self.kills += 1
        del self._by_name[process.name]
        self.clients.died(process.name, now)
        self._start()

    def _turn(self, now: float) -> None:
        """Send, receive, wake."""
        self.fleet.thaw_due(now)
        self.clients.due(now, list(self._by_name), lambda name, command: self.fleet.send(self._by_name[name], command))
        for _, reply in self.fleet.replies(0.01):
            self.clients.take(reply, time.monotonic())
        for process in self.fleet.ended():
            self.failures.append(f"{process.name} ended by itself: see {self.folder / process.name}.log")
            if len(self.failures) > FAILURES:
                raise RuntimeError(self.failures)
            del self._by_name[process.name]
            self.clients.died(process.name, now)
            self._start()

    def _finish(self) -> None:
        give_up = time.monotonic() + PATIENCE
        while self.clients.open and time.monotonic() < give_up:
            self._turn(time.monotonic())
        for request in self.clients.open:
            self.failures.append(f"{request.order} was never answered")
        while (left := self._unfinished()) and time.monotonic() < give_up:
            pass
        for conversation in left:
            self.failures.append(f"{conversation} is not finished by recovery")
        while any(process.frozen_until for process in self.fleet.processes):
            self._turn(time.monotonic())
        for process in self.fleet.close(PATIENCE):
            self.failures.append(f"{process.name} did not end well ({process.exit_code}): see {process.name}.log")

    def _unfinished(self) -> tuple[str, ...]:
        """Ask a worker which turns are not finished; what it hears of before that belongs to clients."""
        process = next(process for process in self.fleet.processes if not process.frozen_until)
        self.fleet.send(process, Command(number=0, how="states"))
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            self.fleet.thaw_due(time.monotonic())
            for _, reply in self.fleet.replies(0.05):
                if reply.outcome == "states":
                    return reply.calls
                self.clients.take(reply, time.monotonic())
        return (f"{process.name} does not answer",)

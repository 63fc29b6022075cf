"""One simulated world: made of a seed, disturbed for a while, brought to rest, and checked."""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from random import Random

import anyio

from assistant_kit.audit import verify
from assistant_kit.entries import Compacted, TurnFinished
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.simulation import Faults, Process, Rates, SimulationStuck, VirtualLoop, simulate
from assistant_kit.toolsets.read_result import NAME
from tests.simulation.checker import Checker
from tests.simulation.ledger import Ledger, Place, at_once
from tests.simulation.outside import Outside
from tests.simulation.people import People
from tests.simulation.rules import Rules, Violation
from tests.simulation.script import Message, thought_up
from tests.simulation.workers import Service, Worker, drawn_settings

_EPOCH = 1_700_000_000.0  # the store's clock is another one than the workers'
_CHAOS = 150.0  # seconds after which nothing goes wrong any more, at the latest
_PEACE = 3000.0  # seconds within which everything must come to rest then
_LATE = 6.0  # seconds after which nothing is under way any more
_MESSAGES = (1, 2, 2, 3)  # of a user in a conversation
_MORE_MESSAGES = (2, 3, 5)  # the same, where windows are small
_IDS = ("unique", "unique", "repeated", "same", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a world came to."""

    seed: int
    turns: int
    faults: Counter[str]
    violations: tuple[Violation, ...]
    ends: Counter[str]
    repeated_requests: int
    seconds: float
    callbacks: int
    trace: tuple[str, ...]
    digest: str

    def without_trace(self) -> "Outcome":
        """Return the same, in less memory."""
        return replace(self, trace=())


class World:
    """Two users, some conversations, two or three workers, one store."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.chance = Random(seed)
        self.loop = loop
        self.trace: list[tuple[float, str, object, str]] = []
        self.store = MemoryStore(clock=self._store_time, audit=self.chance.random() < 0.25)
        self.faults = Faults(self.chance, _rates(self.chance), notice=self._accident)
        self.ledger = Ledger(self.store, self._store_time, self.say)
        settings = drawn_settings(self.chance)
        self.rules = Rules(self.ledger, _EPOCH, settings.window)
        self.outside = Outside(self.faults, self.rules)
        self.service = Service(
            loop=loop,
            chance=self.chance,
            faults=self.faults,
            store=self.store,
            ledger=self.ledger,
            rules=self.rules,
            outside=self.outside,
            nonces=count(1),
            ids=self.chance.choice(_IDS),
            structured=self.chance.random() < 0.2,
            nested=self.chance.random() < 0.35,
            sweep=self.chance.choice((5.0, 15.0)),
            settings=settings,
        )
        self.workers = [Worker(f"w{number}", self.service) for number in range(self.chance.choice((2, 2, 3)))]
        self.people = People(self.service, self.workers, self.say)
        self.places: list[Place] = [("u0", "c0"), ("u1", "c0"), ("u0", "c1")]

    def _accident(self, kind: str, process: Process | None) -> None:
        self.say("accident", "" if process is None else process.name, kind)

    def _store_time(self) -> float:
        return _EPOCH + self.loop.time()

    def say(self, who: str, where: object, what: str) -> None:
        """Note what happens, for the trace."""
        self.trace.append((self.loop.time(), who, where, what))

    async def live(self) -> None:
        """Let it all happen."""
        async with anyio.create_task_group() as everybody:
            async with anyio.create_task_group() as services:
                for worker in self.workers:
                    services.start_soon(worker.run)
                with anyio.move_on_after(_CHAOS + _PEACE) as bounded:
                    await self._talk(everybody)
                if bounded.cancelled_caught:
                    self.rules.broken("liveness", f"not at rest {_PEACE} s after the last accident")
                await self._stop()
                services.cancel_scope.cancel()
            everybody.cancel_scope.cancel()

    async def _talk(self, everybody: anyio.abc.TaskGroup) -> None:
        done = anyio.Event()

        async def all_talk() -> None:
            async with anyio.create_task_group() as clients:
                for messages in self._conversations():
                    clients.start_soon(self.people.converse, messages)
            done.set()

        everybody.start_soon(all_talk)
        with anyio.move_on_after(_CHAOS):
            await done.wait()
        self.say("world", "", "faults stop")
        self.faults.active = False
        for worker in self.workers:
            for process in worker.processes:
                process.wake()
        await done.wait()
        await anyio.sleep(_LATE)
        while (unsettled := self._unsettled()) or any(worker.busy for worker in self.workers):
            for place in unsettled:
                await self.people.look_after(place)
            await anyio.sleep(5.0)

    def _conversations(self) -> list[list[Message]]:
        talks: list[list[Message]] = []
        for user, conversation in self.places:
            talk = [
                thought_up(self.chance, user=user, conversation=conversation, number=number)
                for number in range(self.chance.choice(_MESSAGES if self.rules.whole else _MORE_MESSAGES))
            ]
            if len(talk) > 1 and self.chance.random() < 0.4:
                talks.append([talk.pop()])  # in another window, at the same time
            talks.append(talk)
        return talks

    def _unsettled(self) -> list[Place]:
        """Return the conversations in which a turn is not over."""
        last = {turn.place: turn for turn in self.ledger.turns.values()}
        return [place for place, turn in last.items() if not turn.finals]

    async def _stop(self) -> None:
        with anyio.move_on_after(120.0):
            for worker in self.workers:
                worker.stop()
                await worker.ended.wait()
            return
        self.rules.broken("liveness", "a worker does not stop")

    def check(self) -> None:
        """Check what is left, and put away what has died."""
        self._audit()
        attempts = self.service.settings.recovery.max_attempts
        Checker(self.rules, self.outside, self.store.tables.get("book", {}), attempts=attempts).check()

    def _audit(self) -> None:
        """Let the audit chains prove that the journals are what was written."""
        for user in ("u0", "u1"):
            if at_once(self.store.for_user(user).audit_log(limit=1)):
                report = at_once(verify(self.store.for_user(user)))
                for finding in report.findings:
                    self.rules.broken("audit", f"{user}: {finding}")

    def dispose(self) -> None:
        """Take apart what was killed."""
        for worker in self.workers:
            for process in worker.processes:
                process.dispose()


def _rates(chance: Random) -> Rates:
    """Draw how bad a world is, for each kind of accident by itself."""
    bad = (0.0, 0.5, 1.0, 2.0)
    return Rates(
        crash=0.004 * chance.choice(bad),
        freeze=0.003 * chance.choice(bad),
        store_before=0.02 * chance.choice(bad),
        store_after=0.03 * chance.choice(bad),
        store_late=0.02 * chance.choice(bad),
    )


def run_world(seed: int) -> Outcome:
    """Run the world of a seed."""
    logging.disable(logging.CRITICAL)
    worlds: list[World] = []

    async def main(loop: VirtualLoop) -> None:
        world = World(seed, loop)
        worlds.append(world)
        loop.set_exception_handler(lambda _, context: world.rules.broken("errors", str(context)))
        await world.live()
        world.check()

    try:
        simulate(main, seed=seed)
    except SimulationStuck as error:
        worlds[0].rules.broken("liveness", str(error))
    finally:
        worlds[0].dispose()
        logging.disable(logging.NOTSET)
    return _outcome(seed, worlds[0])


def _outcome(seed: int, world: World) -> Outcome:
    trace = tuple(f"{at:9.3f} {who:9} {where!s:18} {what}" for at, who, where, what in world.trace)
    return Outcome(
        seed=seed,
        turns=len(world.ledger.turns),
        faults=world.faults.counted,
        violations=tuple(world.rules.violations),
        ends=_ends(world.ledger),
        repeated_requests=sum(asked - 1 for asked in world.rules.requests.values()),
        seconds=world.loop.time(),
        callbacks=world.loop.callbacks,
        trace=trace,
        digest=hashlib.blake2b("\n".join(trace).encode(), digest_size=8).hexdigest(),
    )


def _ends(ledger: Ledger) -> Counter[str]:
    """Count how turns and calls have ended, and how often turns were gone on with."""
    ends: Counter[str] = Counter()
    for turn in ledger.turns.values():
        ends[f"turn_{turn.outcome or 'open'}"] += 1
        for written in turn.entries:
            entry = written.measured.entry
            if entry.kind in ("turn_resumed", "turn_suspended", "call_resolved", "compacted"):
                ends[entry.kind] += 1
                ends["cleared"] += isinstance(entry, Compacted) and bool(entry.cleared_turn)
            elif isinstance(entry, TurnFinished) and entry.outcome in ("waiting", "parked"):
                ends[f"paused_{entry.outcome}"] += 1
        for call in turn.calls.values():
            ends[f"call_{'never' if call.end is None else call.end.outcome}"] += 1
            ends["kept"] += call.end is not None and bool(call.end.kept)
            ends["reread"] += call.tool == NAME
    return ends

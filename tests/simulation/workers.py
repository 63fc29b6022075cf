"""Workers of a simulated service: processes with an assistant each, started anew when they have died."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeVar

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.errors import LeaseLost
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.store import Append, Lease, Store
from assistant_kit.settings import LeaseSettings, RecoverySettings, RunLimits, Settings, WindowSettings
from assistant_kit.testing.simulation import Faults, FaultyStore, Process, ProcessDied, Reply, VirtualLoop
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.simulation.brain import Brain
from tests.simulation.gist import Gist
from tests.simulation.ledger import KEPT, Ledger, Place
from tests.simulation.outside import OUTSIDE, TOOLS, Outside
from tests.simulation.rules import Rules

T = TypeVar("T")
_RESTART = 5.0  # seconds until a worker that has died is there again, at most
COUNTER = UpperBound()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The form of structured answers."""

    text: str


@dataclass(slots=True)
class RunLog:
    """What one run has met with: the leases it took, and how often its store failed it."""

    fences: list[int] = field(default_factory=list[int])
    trouble: int = 0


RUN: ContextVar[RunLog | None] = ContextVar("run", default=None)


class Observed:
    """Tells the ledger what happens in the store, and each run what it has met with."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.failures = 0

    def claimed(self, user: str, lease: Lease, ttl: float) -> None:
        """Note a lease."""
        self._ledger.claimed(user, lease, ttl)
        if (run := RUN.get()) is not None and not lease.conversation.startswith(KEPT):
            run.fences.append(lease.fence)

    def renewed(self, user: str, lease: Lease, ttl: float) -> None:
        """Note that a lease lasts longer."""
        self._ledger.renewed(user, lease, ttl)

    def gave_up(self, user: str, lease: Lease) -> None:
        """Note the end of a lease."""
        self._ledger.gave_up(user, lease)

    def changed(self, user: str, conversation: str) -> None:
        """Read what is new."""
        self._ledger.changed(user, conversation)

    def acknowledged(self, user: str, write: Append) -> None:
        """Note what somebody relies on."""
        self._ledger.acknowledged(user, write)

    def failed(self) -> None:
        """Note that the store has failed a run, or something else in this process."""
        self.failures += 1
        if (run := RUN.get()) is not None:
            run.trouble += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What all workers of a world share."""

    loop: VirtualLoop
    chance: Random
    faults: Faults
    store: Store
    ledger: Ledger
    rules: Rules
    outside: Outside
    nonces: "count[int]"
    ids: str
    structured: bool
    nested: bool
    sweep: float
    settings: Settings


WIDE = 0.5
"""The part of worlds whose windows hold every conversation."""

NARROW = (3_000, 3_600, 5_000)
"""Tokens of other windows, in which conversations have to be compacted; each turn fits into them by itself."""


def drawn_settings(chance: Random) -> Settings:
    """Draw settings by chance."""
    kept = chance.choice((0, 1_000_000))
    window = WindowSettings(cached_tokens=kept, max_result_tokens=chance.choice((None, 600)))
    if chance.random() >= WIDE:
        size = chance.choice(NARROW)
        window = WindowSettings(max_tokens=size, reserved_output=100, cached_tokens=kept)
    return Settings(
        limits=RunLimits(timeout=120.0, tool_timeout=20.0, max_steps=6, parallel_tools=chance.choice((1, 2, 16))),
        lease=LeaseSettings(ttl=chance.choice((9.0, 15.0)), wait=chance.choice((0.0, 2.0, 10.0))),
        recovery=RecoverySettings(max_attempts=chance.choice((2, 3, 5)), backoff=2.0, patience=200.0),
        window=window,
    )


class Worker:
    """A place for one process at a time."""

    def __init__(self, name: str, service: Service) -> None:
        self.name = name
        self._service = service
        self._lives = 0
        self._stop = anyio.Event()
        self.ended = anyio.Event()
        self._process: Process | None = None
        self._assistant: Assistant[Any] | None = None
        self._observed: Observed | None = None
        self.processes: list[Process] = []
        self._asked: list[Reply[Any]] = []

    @property
    def process(self) -> Process | None:
        """The process, if there is one and it can be talked to."""
        return self._process if self._assistant is not None else None

    async def run(self) -> None:
        """Keep the worker running until it is stopped; a process that dies is replaced after a while."""
        while not self._stop.is_set():
            self._lives += 1
            service = self._service
            process = Process(
                f"{self.name}.{self._lives}",
                service.loop,
                disturb=service.faults.disturb,
                fuse=service.faults.fuse(),
                clock_skew=service.chance.uniform(-600.0, 600.0),
            )
            process.context.run(OUTSIDE.set, service.outside)
            self._process = process
            self.processes.append(process)
            try:
                await process.call(self._serve).wait()
            except ProcessDied:
                self._assistant = None
            except Exception as error:  # noqa: BLE001  (whatever it is, no worker ends by itself)
                process.kill()
                self._assistant = None
                service.rules.broken("errors", f"worker {process.name} ended by {error!r}")
            if not self._stop.is_set():
                await anyio.sleep(service.chance.random() * _RESTART)
        self._assistant = None
        self.ended.set()

    def ask(
        self, function: Callable[[Assistant[Any]], Awaitable[T]], place: Place, *, ref: str, closes: bool
    ) -> Reply[T] | None:
        """Let the assistant do something with a conversation; None when there is no worker now.

        `closes` tells that the turn of the message `ref` must not be open afterwards.
        """
        if self._process is None or self._assistant is None:
            return None
        reply = self._process.call(partial(self._handle, partial(function, self._assistant), place, ref, closes))
        self._asked = [*(other for other in self._asked if not other.known), reply]
        return reply

    @property
    def busy(self) -> bool:
        """Whether it works on something that it was asked for."""
        return not all(reply.known for reply in self._asked)

    def stop(self) -> None:
        """Ask the process to end in an orderly way."""
        self._stop.set()

    async def _handle(self, work: Callable[[], Awaitable[T]], place: Place, ref: str, closes: bool) -> T:  # noqa: FBT001
        log = RunLog()
        RUN.set(log)
        process, observed = self._process, self._observed
        assert process is not None
        assert observed is not None
        began, failures = anyio.current_time(), observed.failures
        rules = self._service.rules

        def undisturbed() -> bool:
            awake = process.woken_at is None or process.woken_at < began
            return process.state == "running" and awake

        try:
            return await work()
        except LeaseLost:
            if undisturbed() and observed.failures == failures:
                rules.broken("lease", f"a run for {ref} lost the lease on {place}, and nothing had gone wrong")
            raise
        finally:
            if undisturbed() and log.trouble == 0:
                rules.left_behind(place, log.fences, closed=closes, ref=ref)

    async def _serve(self) -> None:
        service = self._service
        self._observed = Observed(service.ledger)
        store = FaultyStore(service.store, service.faults, self._observed)
        talk = 0 if service.rules.whole else service.settings.window.max_tokens // 4
        brain = Brain(service.faults, service.rules, service.nonces, ids=service.ids, talk=talk)
        async with AsyncExitStack() as stack:
            tools: list[Any] = [*TOOLS]
            if service.nested:
                helper = self._assembled(brain, store, tools, name="helper")
                await stack.enter_async_context(helper.recovering(every=service.sweep))
                tools.append(helper.as_tool(name="ask", description="Ask a helper."))
            assistant = self._assembled(brain, store, tools, output_type=Answer if service.structured else str)
            await stack.enter_async_context(assistant)
            await stack.enter_async_context(assistant.recovering(every=service.sweep))
            self._assistant = assistant
            await self._stop.wait()
            self._assistant = None

    def _compactor(self) -> Gist | None:
        """Return what makes room: the default, or one that sums up, at once or in the background."""
        kind = self._service.chance.choice(("default", "gist", "background"))
        if kind == "default":
            return None
        return Gist(self._service.faults, in_background=kind == "background")

    def _assembled(
        self,
        brain: Brain,
        store: FaultyStore,
        tools: Sequence[Any],
        *,
        name: str = "assistant",
        output_type: type[Any] = str,
    ) -> Assistant[Any]:
        service = self._service
        return Assistant(
            brain,
            output_type=output_type,
            tools=tools,
            store=store,
            settings=replace(service.settings, name=name),
            policies=[Retry(uniform=service.chance.random)],
            context=Context(token_counter=COUNTER, compactor=self._compactor()),
        )

"""The soak: the people talk for a while, and then nothing is left of it."""

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.models.openai import OpenAIChat, OpenAIResponses
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.protocols.store import Store
from assistant_kit.resilience import Policies
from assistant_kit.settings import RunLimits, Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.services.postgres import running_postgres
from tests.soak.people import Person, Town
from tests.soak.plan import MODELS, Plan
from tests.soak.resources import Standing, growth, resident
from tests.soak.tally import Counting, Tally
from tests.soak.tools import Tools

LARGEST_GROWTH = 5.0
"""Percent of memory."""
MEMORY_SECONDS = 60.0
"""How long a soak is at least for its memory to be judged: before, there is more to load than to leak."""
_FINISH = 120.0
"""Seconds for the turns that are on their way when time is over."""
_SAMPLES = 240
_APART = 1.0
"""Seconds between two samples of memory, at least: each looks at every object there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """How long, how many, how much goes wrong, on which store.

    `pause` is the mean of the seconds between two turns, `silence` the seconds after which a stream is given up.
    """

    seconds: float
    conversations: int = 200
    faults: float = 0.05
    store: str = "sqlite"
    pause: float = 4.0
    silence: float = 4.0
    seed: int = 1
    backend: str = "asyncio"


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of it."""

    tally: Tally
    requests: int = 0
    faults: int = 0
    leaked: int = 0
    memory: list[int] = field(default_factory=list[int])

    @property
    def growth(self) -> float:
        """Percent by which memory has grown."""
        return growth(self.memory)

    @property
    def line(self) -> str:
        """The figures."""
        tally = self.tally
        return (
            f"turns={tally.asked} completed={tally.completed} left={tally.left} conversations={tally.conversations} "
            f"requests={self.requests} faults={self.faults + tally.tool_faults} retried={tally.retried} "
            f"fell_back={tally.fell_back} errors={tally.failed.total()} violations={tally.violations} "
            f"leaked={self.leaked} rss_growth={self.growth:.1f}%"
        )


@contextmanager
def provider(soak: Soak, report: Report) -> Generator[str]:
    """Start the provider in a process of its own and return its address; at the end take its figures."""
    options = ("--seed", str(soak.seed), "--faults", str(soak.faults))
    command = [sys.executable, "-m", "tests.soak.provider", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        said, _ = process.communicate(timeout=30)
    figures = dict(part.split("=") for part in said.split())
    report.requests, report.faults = int(figures["requests"]), int(figures["faults"])
    if figures["raised"] != "0":
        report.tally.broken(f"the provider's script failed: {figures}")


@contextmanager
def store_for(name: str) -> Generator[Callable[[], Store]]:
    """Return what makes the store."""
    with ExitStack() as stack:
        if name == "memory":
            yield MemoryStore
        elif name == "postgres":
            yield partial(PostgresStore, stack.enter_context(running_postgres()))
        else:
            yield partial(SQLiteStore, Path(stack.enter_context(TemporaryDirectory())) / "journal.db")


def run(soak: Soak, say: Callable[[str], None]) -> Report:
    """Run a soak; `say` is told of each rule that is broken."""
    report = Report(tally=Tally(say=say))
    with provider(soak, report) as address, store_for(soak.store) as make_store:
        before = Standing.now()
        anyio.run(talk, soak, address, make_store, report, backend=soak.backend)
        report.leaked += Standing.now().beyond(before)
    _judge(soak, report)
    return report


def _judge(soak: Soak, report: Report) -> None:
    tally = report.tally
    if tally.unaccounted:
        tally.broken(f"{tally.unaccounted} turns are not accounted for")
    if report.leaked:
        tally.broken(f"{report.leaked} threads, files or tasks are left")
    if soak.seconds >= MEMORY_SECONDS and report.growth > LARGEST_GROWTH:
        tally.broken(f"memory has grown by {report.growth:.1f} %")


async def talk(soak: Soak, address: str, make_store: Callable[[], Store], report: Report) -> None:
    """Let the people talk, and count the tasks that are left."""
    before = len(anyio.get_running_tasks())
    first = OpenAIResponses(MODELS[0], api_key="none", base_url=address)
    second = OpenAIChat(MODELS[1], api_key="none", base_url=address)
    store, plan = make_store(), Plan(seed=soak.seed, rate=soak.faults)
    tools = Tools(plan=plan, tally=report.tally)
    policies = Policies(
        fallback=Fallback(second),
        timeouts=Timeouts(attempt=2 * soak.silence, first_token=soak.silence, idle=soak.silence),
        others=[Counting(report.tally)],
    )
    async with Assistant(
        first,
        instructions="Do what you are asked.",
        tools=tools.functions(),
        store=store,
        settings=Settings(limits=RunLimits(tool_timeout=soak.silence / 4)),
        policies=policies,
        context=Context(token_counter=UpperBound()),
    ) as assistant:
        town = Town(
            assistant=assistant,
            store=store,
            plan=plan,
            tally=report.tally,
            tools=tools,
            until=anyio.current_time() + soak.seconds,
            pause=soak.pause,
        )
        await _live(soak, town, report)
    for closing in (store, first, second):
        await closing.aclose()
    report.leaked += max(0, len(anyio.get_running_tasks()) - before) + len(tools.ran)


async def _live(soak: Soak, town: Town, report: Report) -> None:
    with anyio.fail_after(soak.seconds + _FINISH):
        async with anyio.create_task_group() as group:
            for number in range(soak.conversations):
                group.start_soon(Person(number=number, town=town).live)
            while not town.over:
                await anyio.sleep(max(_APART, soak.seconds / _SAMPLES))
                report.memory.append(resident())

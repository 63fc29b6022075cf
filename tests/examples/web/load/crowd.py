"""Many people who read answers at the same time, through the pages' API, and what they see."""

import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import httpx2
from openai import AsyncOpenAI

from tests.examples.web.system import Person, System

_SIGNING_IN = 8  # people who sign in beside each other
_PATIENCE = 60.0  # seconds
_ASKING = 0.3  # seconds between two questions to the provider itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many people, how many messages each of them sends, and the answer: its words come one every `pace` seconds.

    Each begins at a moment of their own and asks again when an answer has ended, so that there are as many streams as
    people. With `at_once` all ask in the same moment, round by round.
    """

    people: int = 200
    rounds: int = 3
    words: int = 40
    pace: float = 0.25
    at_once: bool = False

    @property
    def pieces(self) -> tuple[str, ...]:
        """The answer as it comes."""
        return tuple(f"word {number} " for number in range(self.words))

    @property
    def seconds(self) -> float:
        """How long an answer takes to come."""
        return self.words * self.pace


@dataclass(slots=True, kw_only=True)
class Seen:
    """What readers have seen: seconds until the first token, and what was wrong. `own` is without our system."""

    first: list[float] = field(default_factory=list[float])
    own: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])
    streams: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The measurement. Seconds beyond what the provider takes; of each process, megabytes, and cores that it used."""

    streams: int
    wrong: Sequence[str]
    own: float
    p50: float
    p95: float
    p99: float
    used: Mapping[str, tuple[float, float]]

    def __str__(self) -> str:
        used = " ".join(f"{name}={size:.0f}MB/{cores:.2f}" for name, (size, cores) in sorted(self.used.items()))
        return (
            f"streams={self.streams} errors={len(self.wrong)} provider={self.own:.3f}"
            f" added_p50={self.p50:.3f} p95={self.p95:.3f} p99={self.p99:.3f} {used}"
        )


@dataclass(frozen=True, slots=True)
class Crowd:
    """People who have signed in, each with a conversation."""

    system: System
    people: Sequence[Person]
    conversations: Sequence[str]

    @classmethod
    def of(cls, system: System, people: int) -> "Crowd":
        """Let people sign in."""
        with ThreadPoolExecutor(_SIGNING_IN) as doors:
            everybody = list(doors.map(partial(Person, system), [f"Person {n}" for n in range(people)]))
            return cls(system, everybody, list(doors.map(Person.begin, everybody)))

    def close(self) -> None:
        """Let everybody leave."""
        for person in self.people:
            person.close()

    def read(self, plan: Plan, provider: str) -> Figures:
        """Let everybody read; `provider` is the address at which its own first token is measured meanwhile."""
        seen, began = Seen(), time.monotonic()
        before = self._used()
        anyio.run(partial(self._read, plan, seen, provider))
        passed = time.monotonic() - began
        used = {name: (size, (cpu - before[name][1]) / passed) for name, (size, cpu) in self._used().items()}
        own = statistics.median(seen.own)
        cuts = statistics.quantiles([first - own for first in seen.first], n=100, method="inclusive")
        return Figures(
            streams=seen.streams, wrong=seen.wrong, own=own, p50=cuts[49], p95=cuts[94], p99=cuts[98], used=used
        )

    def _used(self) -> Mapping[str, tuple[float, float]]:
        return {child.program.name: _used(child.pid) for child in self.system.children}

    async def _read(self, plan: Plan, seen: Seen, provider: str) -> None:
        unbounded = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with (
            httpx2.AsyncClient(base_url=self.system.url, timeout=_PATIENCE, limits=unbounded) as client,
            anyio.create_task_group() as beside,
        ):
            beside.start_soon(_ask_provider, provider, seen)
            if plan.at_once:
                for number in range(plan.rounds):
                    async with anyio.create_task_group() as everybody:
                        for seat in range(plan.people):
                            everybody.start_soon(self._hear, client, seat, number, plan, seen)
            else:
                async with anyio.create_task_group() as everybody:
                    for seat in range(plan.people):
                        everybody.start_soon(self._talk, client, seat, plan, seen)
            beside.cancel_scope.cancel()

    async def _talk(self, client: httpx2.AsyncClient, seat: int, plan: Plan, seen: Seen) -> None:
        await anyio.sleep(plan.seconds * seat / plan.people)
        for number in range(plan.rounds):
            await self._hear(client, seat, number, plan, seen)

    async def _hear(self, client: httpx2.AsyncClient, seat: int, number: int, plan: Plan, seen: Seen) -> None:
        began = time.monotonic()
        first, shown = None, ""
        seen.streams += 1
        try:
            async with self.people[seat].saying_beside(client, self.conversations[seat], f"message {number}") as lines:
                async for name, data in events(lines):
                    if name == "token":
                        first = time.monotonic() - began if first is None else first
                        shown += data["text"]
        except Exception as error:  # noqa: BLE001  (it is counted, and the others go on)
            seen.wrong.append(f"{type(error).__name__}: {error}")
            return
        if first is None or shown != "".join(plan.pieces):
            seen.wrong.append(f"shown: {shown!r}")
        elif number or plan.rounds == 1:  # in the first round not everybody has begun
            seen.first.append(first)


async def _ask_provider(url: str, seen: Seen) -> None:
    """Measure the provider's own first token, as its official client sees it, until cancelled."""
    async with AsyncOpenAI(api_key="test", base_url=url, max_retries=0) as client:
        while True:
            began = time.monotonic()
            async with await client.responses.create(model="test-model", input="hello", stream=True) as stream:
                async for event in stream:
                    if event.type == "response.output_text.delta":
                        seen.own.append(time.monotonic() - began)
                        break
            await anyio.sleep(_ASKING)


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Return the events of a stream of server-sent events, until `complete` or `error`."""
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
            if name in ("complete", "error"):
                return


def _used(pid: int) -> tuple[float, float]:
    """Return memory and CPU of a process and those that it has started."""
    size, cpu = _own(pid)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else []:
        more_size, more_cpu = _used(int(child))
        size, cpu = size + more_size, cpu + more_cpu
    return size, cpu


def _own(pid: int) -> tuple[float, float]:
    """Return resident megabytes and seconds of CPU."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(line.split()[1]) / 1024, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

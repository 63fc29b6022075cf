"""Many people who read answers at the same time, through the pages' API, and what they see."""

import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Barrier

from tests.examples.web.system import Person, System

ANSWER = (
    "One answer in as many pieces as there are words, which come one after the other, so that a stream takes a while."
)
PIECES = 24
_SIGNING_IN = 8  # people who sign in beside each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many people, and how many messages each of them sends."""

    people: int = 200
    rounds: int = 3


@dataclass(slots=True, kw_only=True)
class Seen:
    """What readers have seen: seconds until the first token, and what was wrong."""

    first: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The measurement. Seconds; for each process, megabytes of memory and seconds of CPU at the end."""

    streams: int
    wrong: Sequence[str]
    p50: float
    p95: float
    p99: float
    used: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        used = " ".join(f"{name}={size:.0f}MB/{cpu:.1f}s" for name, (size, cpu) in sorted(self.used.items()))
        return (
            f"streams={self.streams} errors={len(self.wrong)}"
            f" first_token_p50={self.p50:.3f} p95={self.p95:.3f} p99={self.p99:.3f} {used}"
        )


def come(system: System, plan: Plan) -> Figures:
    """Let everybody sign in, and then read at the same time, round by round."""
    with ThreadPoolExecutor(_SIGNING_IN) as doors:
        people = list(doors.map(partial(Person, system), [f"Person {n}" for n in range(plan.people)]))
        conversations = list(doors.map(Person.begin, people))
    seen = Seen()
    together = Barrier(plan.people)

    def read(person: Person, conversation: str) -> None:
        for number in range(plan.rounds):
            together.wait()
            _read(person, conversation, f"message {number}", seen)

    with ThreadPoolExecutor(plan.people) as readers:
        list(readers.map(read, people, conversations))
    used = {child.program.name: _used(child.pid) for child in system.children}
    for person in people:
        person.close()
    cuts = statistics.quantiles(seen.first, n=100, method="inclusive")
    return Figures(streams=len(seen.first), wrong=seen.wrong, p50=cuts[49], p95=cuts[94], p99=cuts[98], used=used)


def _read(person: Person, conversation: str, text: str, seen: Seen) -> None:
    began = time.monotonic()
    first, shown = None, ""
    try:
        with person.saying(conversation, text) as lines:
            for name, data in events(lines):
                if name == "token":
                    first = time.monotonic() - began if first is None else first
                    shown += data["text"]
    except Exception as error:  # noqa: BLE001  (it is counted, and the others go on)
        seen.wrong.append(f"{type(error).__name__}: {error}")
        return
    if first is None or shown != ANSWER:
        seen.wrong.append(f"shown: {shown!r}")
    else:
        seen.first.append(first)


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the events of a stream of server-sent events, until `complete` or `error`."""
    name = ""
    for line in lines:
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

"""The official conformance suite: which scenarios a revision of the protocol requires, and how one is run."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
import yaml

from tests.mcp_servers.installed import MODULES, NODE

SUITE = MODULES / "@modelcontextprotocol" / "conformance"
REVISIONS = ("2025-11-25", "2026-07-28")
PATIENCE = 60  # seconds for one scenario, as the suite's own users give it

Side: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario at one revision. `required`: the revision demands it; others are run and told."""

    side: Side
    revision: str
    name: str
    required: bool

    def __str__(self) -> str:
        return f"{self.side} {self.revision} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a scenario ended. `report` is what the suite printed."""

    scenario: Scenario
    passed: bool
    report: str


def scenarios(side: Side) -> list[Scenario]:
    """Return what the revisions of the protocol require of a side, and what the suite has beside that."""
    found: list[Scenario] = []
    for revision in REVISIONS:
        said = yaml.safe_load((SUITE / "requirements" / f"{revision}.yaml").read_text())
        found += [Scenario(side=side, revision=revision, name=name, required=True) for name in said[side]]
        beside = [one["scenario"] for one in said["not_scored"] if one["leg"] == side]
        found += [Scenario(side=side, revision=revision, name=name, required=False) for name in beside]
    return found


async def run(scenario: Scenario, results: Path, *, url: str = "") -> Verdict:
    """Run a scenario in a process of its own; `url` is the server's, of the side of the server."""
    line = [str(NODE), str(SUITE / "dist" / "index.js"), scenario.side, *_target(scenario.side, url)]
    line += ["--scenario", scenario.name, "--spec-version", scenario.revision, "--force"]
    line += ["--timeout", str(1000 * PATIENCE), "-o", str(results / scenario.side / scenario.revision)]
    with anyio.fail_after(2 * PATIENCE):
        ended = await anyio.run_process(line, check=False, stderr=subprocess.STDOUT)
    return Verdict(scenario=scenario, passed=ended.returncode == 0, report=ended.stdout.decode(errors="replace"))


def _target(side: Side, url: str) -> Sequence[str]:
    if side == "server":
        return ("--url", url)
    return ("--command", f"{sys.executable} -m tests.mcp_conformance.client")

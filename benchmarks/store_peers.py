"""assistant_kit, openai-agents and LangGraph, each in a process of its own, on SQLite files of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PEERS = ("kit", "agents", "langgraph")
NAMES = {
    "kit": "assistant_kit, SQLite FULL",
    "agents": "openai-agents, SQLiteSession",
    "langgraph": "LangGraph, AsyncSqliteSaver",
}
REQUIREMENTS = ("openai-agents==0.24.*", "langgraph==1.2.*", "langgraph-checkpoint-sqlite==3.1.*")
EARLY, LATE = 10, 400
_SCRIPT = Path(__file__).with_name("store_peer.py")
_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFigures:
    """CPU milliseconds of a turn around turn 10 and turn 400, and bytes on disk after so many turns."""

    early: float
    late: float
    bytes_early: int
    bytes_late: int


def peers_python(folder: Path | None) -> Path:
    """Return the interpreter of the peers' environment, which is made when it is not there yet."""
    chosen = folder or Path(os.environ.get("BENCH_PEERS") or Path.home() / ".cache" / "assistant-kit" / "bench-peers")
    python, stamp = chosen / "bin" / "python", chosen / "requirements"
    if not stamp.is_file() or stamp.read_text() != "\n".join(REQUIREMENTS):
        print(f"installing {', '.join(REQUIREMENTS)} into {chosen}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", chosen], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        stamp.write_text("\n".join(REQUIREMENTS))
    return python


def measure_peers(python: Path, repeats: int, folder: Path | None) -> Mapping[str, PeerFigures]:
    """Measure all peers, one after the other within each repeat."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in PEERS}
    sizes: dict[str, int] = {}
    for repeat in range(repeats):
        for name in PEERS[repeat % len(PEERS) :] + PEERS[: repeat % len(PEERS)]:
            interpreter = Path(sys.executable) if name == "kit" else python
            figures[name].append(_run(interpreter, name, LATE, folder))
            if name not in sizes:
                sizes[name] = _run(interpreter, name, EARLY, folder)["bytes"]
    return {
        name: PeerFigures(
            early=statistics.median(found["early"] for found in ran),
            late=statistics.median(found["late"] for found in ran),
            bytes_early=sizes[name],
            bytes_late=ran[-1]["bytes"],
        )
        for name, ran in figures.items()
    }


def _run(python: Path, name: str, turns: int, folder: Path | None) -> dict[str, Any]:
    with TemporaryDirectory(dir=folder) as own:
        command = [python, _SCRIPT, name, str(turns), own]
        environment = {**os.environ, "PYTHONPATH": str(_SCRIPT.parents[1])} if name == "kit" else None
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=_SECONDS, env=environment)
    return json.loads(done.stdout)


def peers_table(peers: Mapping[str, PeerFigures]) -> str:
    """The figures of all peers."""
    lines = [
        "one conversation, all of it in each request: milliseconds of CPU of a turn, kilobytes on disk after it",
        f"  {'peer':30}{f'turn {EARLY}':>10}{f'turn {LATE}':>10}{f'kB at {EARLY}':>12}{f'kB at {LATE}':>12}",
    ]
    lines += [
        f"  {NAMES[name]:30}{one.early:10.2f}{one.late:10.2f}{one.bytes_early / 1000:12,.0f}"
        f"{one.bytes_late / 1000:12,.0f}"
        for name, one in peers.items()
    ]
    return "\n".join(lines)

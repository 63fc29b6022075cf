"""The test server as a process of its own, so that its work does not count."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextmanager
def running_server() -> Generator[str]:
    """The address of a server that plays the workloads; it ends when its standard input is closed."""
    command = [sys.executable, "-m", "tests.openai_server", "--script", "benchmarks.workload:reply"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server's process has no pipes")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()

"""A service that is killed at any step of a chat goes on with it when it is started again."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_a_chat_goes_on_wherever_its_server_was_killed() -> None:
    # In a process of its own, which may be forked. All steps, and Postgres: python -m tests.examples.todo.killed
    command = [sys.executable, "-m", "tests.examples.todo.killed", "--database", "sqlite", "--every", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert int(re.findall(r"kills=(\d+) wrong=0", done.stdout)[0]) >= 4

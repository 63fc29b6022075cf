import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import run_world


def test_no_rule_is_broken_in_some_hundred_turns() -> None:
    outcomes = [run_world(number) for number in range(2_000, 2_045)]
    assert [violation for outcome in outcomes for violation in outcome.violations] == []
    assert sum(outcome.turns for outcome in outcomes) > 200
    assert sum(sum(outcome.faults.values()) for outcome in outcomes) > 400
    kinds = {kind for outcome in outcomes for kind in outcome.faults}
    assert kinds >= {"crash", "freeze", "store_before", "store_after", "store_late", "tool_adrift", "model_fails"}


def trace_of(number: int, hash_seed: int) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--world", str(number)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60)
    return done.stdout


def test_a_world_is_the_same_in_every_process() -> None:
    first = trace_of(2_007, 1)
    assert "trace=" in first
    # The last figure is the time that it took.
    assert first.rpartition(" ")[0] == trace_of(2_007, 2).rpartition(" ")[0]


@pytest.mark.parametrize(
    "name",
    [
        "no-fence-check",
        "no-intent",
        "blind-retry-of-tools",
        "no-owner-check",
        "no-client-deduplication",
        "approval-never-asked",
        "lease-not-released-by-the-run",
        "room-made-without-a-record",
        "window-without-a-ceiling",
        "cut-result-not-kept",
    ],
)
def test_a_planted_bug_is_found(name: str) -> None:
    with MUTANTS[name].planted():
        assert any(run_world(number).violations for number in range(2_000, 2_060))


def test_a_planted_bug_is_gone_afterwards() -> None:
    with pytest.raises(LookupError), MUTANTS["no-intent"].planted():
        raise LookupError
    assert run_world(2_000).violations == ()


def test_the_command_tells_of_a_broken_rule_and_fails() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--turns", "200", "--seed", "2", "--mutant", "no-intent"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "at most once" in done.stdout
    assert "violations=0" not in done.stdout

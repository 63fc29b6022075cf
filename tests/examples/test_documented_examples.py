"""The code that the documentation shows runs as it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.testing import (
    test_a_model_that_breaks_off_is_an_error_after_the_text_so_far,
    test_a_slow_model_is_left_when_its_reader_leaves,
    test_a_step_can_look_at_the_request,
    test_the_answer_of_a_tool_reaches_the_model,
)

__all__ = [
    "test_a_model_that_breaks_off_is_an_error_after_the_text_so_far",
    "test_a_slow_model_is_left_when_its_reader_leaves",
    "test_a_step_can_look_at_the_request",
    "test_the_answer_of_a_tool_reaches_the_model",
]

pytestmark = pytest.mark.anyio
EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_quickstart_runs_offline_and_is_short() -> None:
    assert run("quickstart.py") == "It is sunny in Oslo. ['weather']\n"
    assert len((EXAMPLES / "quickstart.py").read_text().splitlines()) <= 25


def test_the_lamp_shop_works_by_rules() -> None:
    assert run("rules.py").splitlines() == [
        "> Hi, how many desk lamps do you have?",
        "Welcome to the lamp shop.",
        "We have 3 of desk lamp.",
        "> Could you order 2 desk lamps and order a floor lamp, please?",
        "Ordered: 2 x desk lamp.",
        "There are only 0 of floor lamp.",
        "> Sing me a song!",
        "I did not understand that: I answer by fixed rules. You can say, for example:",
        "- how many desk lamps do you have?",
        "- order 2 desk lamps",
    ]

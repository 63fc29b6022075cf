"""A small run of scripts/power-loss. Trials are chosen by their seeds, so that each run is the same."""

from pathlib import Path
from typing import cast

import anyio
import pytest

from assistant_kit.stores.sqlite.schema import Synchronous
from tests.power_loss.__main__ import main, tally

pytestmark = pytest.mark.anyio

TRIALS = 40


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run once: nothing here waits."""
    return "asyncio"


async def test_with_full_nothing_that_was_acknowledged_is_lost() -> None:
    result = await tally("FULL", TRIALS, seed=1)

    assert (result.trials, result.lost, result.writes, result.problems) == (TRIALS, 0, 0, [])


async def test_with_normal_writes_are_lost_and_what_is_left_is_whole() -> None:
    result = await tally("NORMAL", TRIALS, seed=1)

    assert result.lost > 0
    assert result.writes > result.lost
    assert result.problems == []


async def test_without_syncs_the_trial_finds_damage() -> None:
    result = await tally(cast("Synchronous", "OFF"), TRIALS, seed=1)

    assert result.problems


async def test_the_command_fails_when_its_trials_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    # In the first operations nothing is acknowledged yet: so NORMAL loses nothing.
    nothing = await main(trials=0, seed=1)
    something = await main(trials=8, seed=1)

    assert (nothing, something) == (1, 0)
    assert capsys.readouterr().out.count("full_lost=0 ") == 2


async def test_a_trial_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await tally("FULL", 3, seed=1)

    assert not await anyio.to_thread.run_sync(lambda: list(tmp_path.iterdir()))

"""The cycles of scripts/mcp-cycles, a few of them; and that they notice what is wrong."""

import os
import signal
from pathlib import Path
from random import Random

import anyio
import pytest

from assistant_kit.toolsets.mcp import stdio
from tests.mcp_cycles.cycles import Tally, Transport, run_cycles
from tests.toolsets.mcp.servers.control import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_server_that_ends_at_any_moment_is_used_again_and_leaves_nothing(
    transport: Transport, tmp_path: Path
) -> None:
    tally = Tally(say=pytest.fail)
    with anyio.fail_after(60):
        await run_cycles(transport, 2, Random(1), tally, tmp_path)
        await until(lambda: not tally.left)
    assert (tally.cycles, tally.wrong) == (2, 0)


async def test_a_process_that_is_left_behind_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spare(_: object) -> None:
        pass

    monkeypatch.setattr(stdio, "_kill", spare)
    tally = Tally(say=pytest.fail)
    always = Random()
    monkeypatch.setattr(always, "random", lambda: 0.0)  # a child each time
    with anyio.fail_after(60):
        await run_cycles("stdio", 1, always, tally, tmp_path)
    left = tally.left
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert len(left) == 1

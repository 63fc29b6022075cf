"""Chaos in small, as the command runs it; `.ci/run` runs it at full size on every store."""

import sys

import anyio
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Once is enough: half of the workers run on asyncio, half on trio."""
    return request.param


async def test_workers_that_are_killed_and_frozen_lose_and_double_nothing() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--store", "sqlite", "--kills", "4", "--stops", "1"]

    with anyio.fail_after(240):
        done = await anyio.run_process(command, check=False, stderr=None)

    said = done.stdout.decode()
    figures = dict(part.split("=") for part in said.splitlines()[-1].split())
    assert done.returncode == 0, said
    assert [figures[name] for name in ("kills", "stops", "doubled", "lost", "broken")] == ["4", "1", "0", "0", "0"]
    assert int(figures["turns"]) >= int(figures["acknowledged"]) / 2 > 0

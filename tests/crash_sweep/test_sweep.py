"""A part of the sweep, as the command runs it: in a process of its own, without the cost of measuring coverage.

All of it is `./scripts/crash-sweep`.
"""

import sys

import anyio
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Once is enough: the sweep runs on both event loops."""
    return request.param


async def test_no_single_crash_loses_or_doubles_anything() -> None:
    with anyio.fail_after(300):
        done = await anyio.run_process(
            [sys.executable, "-m", "tests.crash_sweep", "--only", "one tool"], check=False, stderr=None
        )

    said = done.stdout.decode()
    figures = dict(part.split("=") for part in said.splitlines()[-1].split())
    assert (done.returncode, figures["violations"]) == (0, "0"), said
    assert int(figures["points"]) > 100

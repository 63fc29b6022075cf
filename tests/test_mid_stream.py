"""A part of the sweep over failing streams: every case is `./scripts/mid-stream`."""

from pathlib import Path

import anyio
import pytest

from tests.mid_stream.cases import KINDS, UNDER
from tests.mid_stream.sweep import Tally, all_cases, sweep

pytestmark = pytest.mark.anyio
EVERY = 89
"""One case in so many, a number that has no factor in common with those of kinds and policies."""


async def test_whatever_becomes_of_a_stream_the_reader_is_left_with_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend_name: str
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # each client reads the world's certificates; loopback needs none
    wrong: list[str] = []
    tally = Tally(say=wrong.append)
    chosen = all_cases()[int(anyio_backend_name == "trio") :: EVERY]
    with anyio.fail_after(60):
        await sweep(chosen, tally, tmp_path, silence=0.5)

    assert (wrong, tally.violations) == ([], 0)
    assert tally.cases == len(chosen) > 30
    assert {(case.policy, case.reach) for case in chosen} == set(UNDER)
    assert {case.kind for case in chosen} == set(KINDS)

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from assistant_kit.event_logs.redis import RedisEventLog
from assistant_kit.integrations.streaming.following import Following
from tests.integrations.streaming.killed_worker import ANSWER
from tests.integrations.streaming.reading import Page
from tests.services.valkey import running_valkey

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # it is the other processes that matter


@contextmanager
def worker(url: str, database: Path, pieces: int) -> Generator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.integrations.streaming.killed_worker", url, str(database), str(pieces)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


async def test_a_reader_gets_the_rest_from_another_process_when_one_is_killed_in_mid_answer(tmp_path: Path) -> None:
    database, page = tmp_path / "chat.db", Page()
    with running_valkey(append_only=False) as url, anyio.fail_after(60):
        log = RedisEventLog(url)
        entries = Following(log.for_user("u").follow("c"), None)
        with worker(url, database, 10_000) as first:
            while page.last_id is None or "piece 3" not in page.turns["r"].text:
                page.show(await entries.arrived())
            first.kill()
            first.wait()
        shown = page.turns["r"].text
        with worker(url, database, 0):
            while not page.turns["r"].ended:
                page.show(await entries.arrived())
        await entries.aclose()
        await log.aclose()

    assert shown.startswith("piece 0 piece 1 piece 2 piece 3")
    assert page.turns["r"].text == ANSWER
    assert page.turns["r"].ended is not None
    assert page.turns["r"].ended["output"] == ANSWER
    assert page.is_dense
    assert page.resets == 0

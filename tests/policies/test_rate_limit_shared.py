"""One limit for workers that share a real place."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from assistant_kit.policies._rate_place import decoded
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.shared_state import SharedState
from assistant_kit.shared_states.postgres import PostgresState
from assistant_kit.shared_states.redis import RedisState
from assistant_kit.shared_states.sqlite import SQLiteState

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "state.db")
    return request.getfixturevalue({"postgres": "postgres_url", "redis": "valkey_url"}[request.param])


@asynccontextmanager
async def opened(place: str, count: int) -> AsyncGenerator[list[SharedState]]:
    """Open a place several times, as so many workers do."""
    states = [_opened(place) for _ in range(count)]
    try:
        yield states
    finally:
        for state in states:
            await state.aclose()


def _opened(place: str) -> SharedState:
    if place.startswith("redis"):
        return RedisState(place, prefix="rate_limit_test")
    return PostgresState(place, schema="rate_limit_test") if place.startswith("postgres") else SQLiteState(place)


async def test_three_workers_send_no_more_than_the_limit_lets_through(place: str, anyio_backend: str) -> None:
    # 12 are saved up, and one comes in every 20 ms.
    name = f"model-{anyio_backend}"
    sent: list[float] = []

    async def answer(_: Call) -> None:
        sent.append(anyio.current_time())

    async with opened(place, 3) as states:
        workers = [RateLimit(requests_per_minute=3000, burst=0.24, state=state, patience=20) for state in states]
        with anyio.fail_after(30):
            await workers[0].around(Call(kind="model", name=name), answer)  # connected
            begun = anyio.current_time()
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(workers[number % 3].around, Call(kind="model", name=name), answer)
            ended = anyio.current_time()
        line = decoded((await states[0].values(""))[f"rate/model:{name}"])
    assert len(sent) == 31
    assert 12 + (ended - begun) * 50 + 1 >= 30, "no faster than the limit, by a clock of our own"
    assert line is not None
    assert line.count == 31
    assert line.waiting == ()

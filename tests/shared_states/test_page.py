"""The code that docs/shared-state.md shows."""

from pathlib import Path

import pytest

from assistant_kit.protocols.shared_state import Change, Changed
from assistant_kit.shared_states.postgres import PostgresState
from assistant_kit.shared_states.sqlite import SQLiteState

pytestmark = pytest.mark.anyio


# --8<-- [start:change]
def take(limit: int) -> Change[bool]:
    """Take one of `limit` places, which come back after an hour without use."""

    def decide(value: bytes | None, now: float) -> Changed[bool]:  # noqa: ARG001  (each change gets the time)
        taken = int(value or b"0")
        if taken == limit:
            return Changed(value=value, result=False)  # nothing changes, and nothing is written
        return Changed(value=b"%d" % (taken + 1), result=True, keep=3600.0)

    return decide


# --8<-- [end:change]


async def test_places_are_taken_until_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # --8<-- [start:use]
    state = SQLiteState("limits.db")  # or MemoryState(), PostgresState("postgresql://…"), RedisState("redis://…")

    granted = [await state.update("ann", "seats", take(2)) for _ in range(3)]  # True, True, False
    values = await state.values("ann")  # {"seats": b"2"}
    await state.erase("ann")
    await state.aclose()
    # --8<-- [end:use]
    assert granted == [True, True, False]
    assert values == {"seats": b"2"}


def test_the_sql_of_the_schema() -> None:
    # --8<-- [start:sql]
    everything = PostgresState.sql()
    # --8<-- [end:sql]
    assert everything.count("CREATE TABLE") == 2

"""A turn that leaves no record."""

from typing import Any

import pytest

from assistant_kit.entries import Measured, ToolNoted, ToolStarted, TurnFinished
from assistant_kit.errors import NotTransactional
from assistant_kit.runtimes.ephemeral import Ephemeral
from assistant_kit.usage import Usage

pytestmark = pytest.mark.anyio


async def test_nothing_is_remembered() -> None:
    runtime = Ephemeral()
    end = Measured(entry=TurnFinished(turn="t", outcome="completed", usage=Usage()), tokens=0, counted_by="")
    started = ToolStarted(
        turn="t", key="1.0", call_id="c", tool="x", arguments_hash="h", effect="once", idempotency_key="k"
    )

    async def step() -> Measured:
        return end

    async def in_transaction(_: Any) -> Measured:
        return end

    assert await runtime.step("1", step) is end
    assert [claim.standing for claim in await runtime.claim([started])] == ["run"]
    assert runtime.decision("1.0", "h") is None
    assert not runtime.begun("1.0")
    assert runtime.in_doubt() == ()
    await runtime.note(ToolNoted(turn="t", key="1.0", call_id="c", note="n"))
    with pytest.raises(NotTransactional):
        await runtime.transact("1.0", in_transaction)
    await runtime.finish(TurnFinished(turn="t", outcome="completed", usage=Usage()))

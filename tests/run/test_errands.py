"""What is done beside runs: one after the other, each waiting one once, none kept from being done by another."""

import anyio
import pytest

from assistant_kit.background import Background
from assistant_kit.errors import StoreUnavailable
from assistant_kit.run.errands import AfterTurn, Errands

pytestmark = pytest.mark.anyio


async def test_errands_are_done_in_their_order_and_one_that_waits_is_not_taken_twice() -> None:
    done: list[str] = []
    gate = anyio.Event()

    async def do(errand: str) -> None:
        if not done:
            await gate.wait()
        done.append(errand)

    errands = Errands(do)
    await errands.settled()
    with anyio.fail_after(5):
        async with Background(errands.run):
            for errand in ("a", "b", "a", "c"):
                errands.take(errand)
            await anyio.lowlevel.checkpoint()
            errands.take("b")
            gate.set()
            await errands.settled()
            errands.take("a")
            await errands.settled()
    assert done == ["a", "b", "c", "a"]


async def test_one_that_fails_is_said_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    done: list[AfterTurn] = []

    async def do(errand: AfterTurn) -> None:
        if errand.user == "ann":
            raise StoreUnavailable("gone")
        if errand.user == "eve":
            raise ZeroDivisionError
        done.append(errand)

    errands = Errands(do)
    bob = AfterTurn(user="bob", conversation="c2")
    with anyio.fail_after(5):
        async with Background(errands.run):
            errands.take(AfterTurn(user="ann", conversation="c1"))
            errands.take(AfterTurn(user="eve", conversation="c3"))
            errands.take(bob)
            await errands.settled()
    assert done == [bob]
    assert "what comes after a turn of 'c1' is not done" in caplog.text
    assert "ZeroDivisionError" in caplog.text

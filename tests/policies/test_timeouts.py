"""An attempt that takes too long is given up, and so is a stream that has gone silent."""

from collections.abc import Sequence
from math import inf

import anyio
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError, ModelTimeout, ModelUnavailable
from assistant_kit.events import Token
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.protocols.policy import Call, CallKind
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def model_call(*, streams: bool = True, until: float = inf, kind: CallKind = "model") -> Call:
    return Call(kind=kind, name="m", effect="read", streams=streams, deadline=Deadline(until))


async def coming(call: Call, at: Sequence[tuple[float, str]]) -> str:
    """Answer with what comes after so many seconds each: a `beat`, the `begin` of an answer, or a piece of text."""
    for pause, what in at:
        await anyio.sleep(pause)
        call.progress.beats += 1
        call.progress.begun = call.progress.begun or what != "beat"
        if what not in ("beat", "begin"):
            call.emit(Token(what))
    return "answer"


def asked(loop: str, timeouts: Timeouts, call: Call, at: Sequence[tuple[float, str]]) -> tuple[object, float]:
    """What comes of a call, and when."""

    async def main() -> tuple[object, float]:
        begun = anyio.current_time()
        outcome: object
        try:
            outcome = await timeouts.around(call, lambda inner: coming(inner, at))
        except ModelTimeout as error:
            outcome = type(error)
        return outcome, round(anyio.current_time() - begun, 6)

    return in_virtual_time(loop, main)


def test_an_answer_that_comes_in_time_is_given(loop: str) -> None:
    at = [(1.0, "begin"), *[(4.0, "x")] * 20]
    assert asked(loop, Timeouts(first_token=2, idle=5), model_call(), at) == ("answer", 81)


def test_a_stream_whose_answer_does_not_begin_is_given_up(loop: str) -> None:
    at = [(1.0, "beat")] * 100
    assert asked(loop, Timeouts(first_token=10, idle=5), model_call(), at) == (ModelTimeout, 10)


def test_a_stream_that_falls_silent_is_given_up_at_most_a_quarter_late(loop: str) -> None:
    at = [(1.0, "begin"), (1.0, "x"), (1000.0, "y")]
    outcome, after = asked(loop, Timeouts(first_token=10, idle=8), model_call(), at)
    assert outcome is ModelTimeout
    assert 10 <= after <= 12


def test_signs_of_life_keep_a_stream_whose_answer_has_begun(loop: str) -> None:
    at = [(1.0, "begin"), *[(4.0, "beat")] * 50, (1.0, "x")]
    assert asked(loop, Timeouts(first_token=10, idle=5), model_call(), at) == ("answer", 202)


def test_without_a_limit_for_silence_a_stream_may_be_silent(loop: str) -> None:
    at = [(1.0, "begin"), (5000.0, "x")]
    assert asked(loop, Timeouts(first_token=10, idle=None), model_call(), at) == ("answer", 5001)


def test_without_a_limit_for_the_beginning_only_silence_counts(loop: str) -> None:
    assert asked(loop, Timeouts(first_token=None, idle=4), model_call(), [(3.0, "beat")] * 9) == ("answer", 27)


def test_a_whole_attempt_has_its_time_streamed_or_not(loop: str) -> None:
    for streams in (True, False):
        at = [(1.0, "x")] * 100
        assert asked(loop, Timeouts(attempt=30), model_call(streams=streams), at) == (ModelTimeout, 30)


def test_an_answer_that_is_not_streamed_may_come_late(loop: str) -> None:
    assert asked(loop, Timeouts(), model_call(streams=False), [(500.0, "beat")]) == ("answer", 500)


def test_without_limits_nothing_is_watched(loop: str) -> None:
    none = Timeouts(attempt=None, first_token=None, idle=None)
    assert asked(loop, none, model_call(), [(500.0, "x")]) == ("answer", 500)


def test_calls_of_tools_have_timeouts_of_their_own(loop: str) -> None:
    assert asked(loop, Timeouts(attempt=1), model_call(kind="tool"), [(500.0, "x")]) == ("answer", 500)


def test_the_deadline_of_an_attempt_is_told_to_the_model(loop: str) -> None:
    async def deadline_of(call: Call) -> float:
        await anyio.lowlevel.checkpoint()
        return call.deadline.at

    async def main() -> list[float]:
        now = anyio.current_time()
        around = Timeouts(attempt=30).around
        return [
            await around(model_call(until=now + 10), deadline_of) - now,
            await around(model_call(until=now + 100), deadline_of) - now,
        ]

    assert in_virtual_time(loop, main) == [10, 30]


def test_an_error_of_the_model_leaves_as_it_is(loop: str) -> None:
    async def fail(_: Call) -> str:
        await anyio.sleep(1)
        raise ModelUnavailable("down", model="m")

    async def main() -> None:
        with pytest.raises(ModelUnavailable):
            await Timeouts().around(model_call(), fail)

    in_virtual_time(loop, main)


def test_cancellation_from_outside_is_no_timeout(loop: str) -> None:
    async def main() -> bool:
        with anyio.move_on_after(3) as scope:
            await Timeouts().around(model_call(), lambda call: coming(call, [(100.0, "x")]))
        return scope.cancelled_caught

    assert in_virtual_time(loop, main)


def test_a_second_attempt_has_its_own_time_to_begin(loop: str) -> None:
    """The progress of a call is shared by its attempts."""
    call, timeouts = model_call(), Timeouts(first_token=10, idle=None)
    assert asked(loop, timeouts, call, [(1.0, "begin"), (20.0, "beat")]) == ("answer", 21)
    assert asked(loop, timeouts, call, [(11.0, "begin")]) == (ModelTimeout, 10)


def test_times_that_are_none_are_refused(loop: str) -> None:
    del loop
    for wrong in ({"attempt": 0.0}, {"first_token": -1.0}, {"idle": float("nan")}):
        with pytest.raises(ConfigurationError):
            Timeouts(**wrong)


def test_what_applies_to_a_call_is_told(loop: str) -> None:
    del loop
    assert "120" in Timeouts().explain(model_call())
    assert not Timeouts().explain(model_call(kind="tool"))
    assert not Timeouts(first_token=None, idle=None).explain(model_call())

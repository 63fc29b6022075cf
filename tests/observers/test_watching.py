"""Observers are told of runs, in order, and whatever they do costs nobody anything."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ModelUnavailable
from assistant_kit.events import ApprovalRequired, ContextCompacted, Delta, Token, ToolResult
from assistant_kit.messages import AssistantMessage, Text, UserMessage
from assistant_kit.observers.observing import observed
from assistant_kit.policies.retry import Retry
from assistant_kit.policy_chain import through
from assistant_kit.prices import ModelPrice, Prices
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.observer import (
    ApprovalAsked,
    Compacted,
    ModelCallBegan,
    ModelCallEnded,
    Notice,
    RunBegan,
    RunEnded,
    ToolAnswered,
)
from assistant_kit.protocols.policy import Call, Policy
from assistant_kit.testing.scripted_model import Call as ToolUse
from assistant_kit.testing.scripted_model import CallTools, ScriptedModel
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage
from tests.observers.driven import watching
from tests.observers.kept import Kept
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio

USED = Usage(requests=1, input_tokens=100, output_tokens=10)
DOWN = ModelUnavailable("down", model="m")
PRICE = ModelPrice(input=1000, cached_input=100, output=2000, date="2026-11-22", source="test")
BEGAN = RunBegan(span=0, run="r", assistant="helper", model="m", user="ann", conversation="c")


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return f"seen: {what}"


async def answer(_: Call) -> ModelResponse:
    return ModelResponse(items=(AssistantMessage(text="Yes."),), usage=USED, model="m-2026-11-22")


async def failing(_: Call) -> ModelResponse:
    raise DOWN


def policies_of(*kept: Kept, policies: Sequence[Policy] = ()) -> Sequence[Policy]:
    return observed(policies, *kept, prices=Prices({"m": PRICE}))


CALL = Call(kind="model", name="m", run="r", user="ann")


async def test_a_call_outside_of_a_run_tells_when_it_began_as_well() -> None:
    kept, heard = Kept(), list[Delta]()

    async def make(call: Call) -> ModelResponse:
        call.emit(Token("Yes."))
        return await answer(call)

    await through(observed([], kept), replace(CALL, streams=True, emit=heard.append), make)

    assert heard == [Token("Yes.")]
    assert kept.only(ModelCallEnded).first_token is not None


async def test_a_run_adds_up_what_its_calls_used() -> None:
    kept = Kept(content=True)
    policies = policies_of(kept, policies=[Retry(attempts=2, base=0)])
    asked = UserMessage(content=(Text(text="Hello"),))
    said = AssistantMessage(text="Yes.")

    with watching(policies, replace(BEGAN, messages=(asked,))) as run:
        for _ in range(2):
            await through(policies, CALL, answer)
        await through(policies, replace(CALL, name="free", run="r"), answer)
        await through(policies, replace(CALL, run="of another one"), answer)
        run.ended("completed", (asked, said))

    began, ended = kept.only(RunBegan), kept.only(RunEnded)
    assert (began.messages, ended.messages) == ((asked,), (asked, said))
    assert ended.began == replace(began, messages=None)
    assert ended.usage == USED + USED + USED
    assert ended.cost == 3 * 120_000  # the server calls all of them m
    assert (ended.status, ended.error) == ("completed", "")
    assert kept.told[0] == "run_began"
    assert kept.told[-1] == "run_ended"
    spans = [notice.span for notice in kept.notices if isinstance(notice, RunBegan | ModelCallBegan)]
    assert len(set(spans)) == len(spans) == 5


async def test_a_run_whose_models_have_no_price_has_no_cost() -> None:
    kept = Kept()
    policies = observed([], kept)

    with watching(policies, BEGAN) as run:
        await through(policies, CALL, answer)
        run.ended("completed")

    assert (kept.only(RunEnded).usage, kept.only(RunEnded).cost) == (USED, None)


async def test_a_run_that_fails_names_the_error_and_says_no_more_of_it() -> None:
    kept = Kept(content=True)
    policies = policies_of(kept)

    with pytest.raises(ModelUnavailable), watching(policies, BEGAN):
        await through(policies, CALL, failing)

    ended = kept.only(RunEnded)
    assert (ended.status, ended.error, ended.usage, ended.messages) == ("failed", "ModelUnavailable", Usage(), ())


async def test_a_run_that_is_cancelled_has_not_failed() -> None:
    kept = Kept()
    policies = policies_of(kept)

    with anyio.move_on_after(0.01), watching(policies, BEGAN):
        await anyio.sleep_forever()

    assert (kept.only(RunEnded).status, kept.only(RunEnded).error) == ("cancelled", "")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_tells_when_its_reader_saw_the_first_and_what_of_that_was_not_the_models(loop: str) -> None:
    kept = Kept()
    policies = policies_of(kept)

    async def make(call: Call) -> ModelResponse:
        await anyio.sleep(2.0)
        call.emit(Token("Y"))
        await anyio.sleep(1.0)
        call.emit(Token("es."))
        return await answer(call)

    async def main() -> None:
        with watching(policies, BEGAN) as run:
            await anyio.sleep(0.5)
            for _ in range(2):
                await through(policies, replace(CALL, streams=True), make)
            run.ended("completed")

    in_virtual_time(loop, main)
    ended = kept.only(RunEnded)
    assert (ended.first_token, ended.added, ended.seconds) == (2.5, 0.5, 6.5)
    assert [it.first_token for it in kept.of(ModelCallEnded)] == [2.0, 2.0]


async def test_events_of_a_run_are_told_without_their_content() -> None:
    blind, reading = Kept(), Kept(content=True)
    policies = policies_of(blind, reading)
    content = (Text(text="secret"),)
    compacted = ContextCompacted(strategy="drop oldest", dropped_turns=2, tokens_before=9, tokens_after=4)

    with watching(policies, BEGAN, is_tool=("look",).__contains__) as run:
        run.hear(ToolResult(call_id="1", tool="look", outcome="ok", content=content))
        run.hear(ToolResult(call_id="2", tool="made up", outcome="error", content=content))
        run.hear(ApprovalRequired(call_id="3", tool="look", arguments={"what": "secret"}))
        run.hear(compacted)
        run.hear(Token("secret"))
        run.ended("waiting")

    assert blind.notices[1:-1] == [
        ToolAnswered(run="r", tool="look", call_id="1", outcome="ok"),
        ToolAnswered(run="r", tool="", call_id="2", outcome="error"),
        ApprovalAsked(run="r", tool="look", call_id="3"),
        Compacted(run="r", strategy="drop oldest", dropped_turns=2, tokens_before=9, tokens_after=4),
    ]
    assert blind.only(RunEnded).status == "waiting"
    assert [(it.tool, it.content) for it in reading.of(ToolAnswered)] == [("look", content), ("made up", content)]


async def test_of_several_observers_the_first_begins_and_ends_around_the_others() -> None:
    told: list[str] = []
    policies = policies_of(Kept("a ", told), Kept("b ", told))

    with watching(policies, BEGAN) as run:
        await through(policies, CALL, answer)
        run.hear(ApprovalRequired(call_id="3", tool="look", arguments=None))

    assert told == [
        *["a run_began", "b run_began", "a model_call_began", "b model_call_began"],
        *["b model_call_ended", "a model_call_ended", "a approval_asked", "b approval_asked"],
        *["b run_ended", "a run_ended"],
    ]


class Broken:
    """An observer that fails, each time by the error that is next."""

    def __init__(self, *errors: type[Exception]) -> None:
        self.errors = errors
        self.calls = 0

    def observe(self, notice: Notice) -> None:
        self.calls += 1
        raise self.errors[self.calls % len(self.errors)](notice.kind)


async def test_an_observer_that_fails_costs_nobody_anything_and_is_logged_once_of_each_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, also, kept = Broken(ValueError, KeyError), Broken(ValueError), Kept()
    model = ScriptedModel([CallTools(ToolUse("look", {"what": "it"})), "Seen."], name="m")
    policies = observed([Retry()], broken, also, kept)

    with caplog.at_level(logging.DEBUG, "assistant_kit.observers"):
        result = await Assistant(model, tools=[look], policies=policies).run("Look")

    assert result.output == "Seen."
    assert broken.calls == also.calls == len(kept.notices) > 5
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert sorted(kind.__name__ for kind in logged if kind) == ["KeyError", "ValueError", "ValueError"]


async def test_two_runs_of_one_turn_do_not_disturb_each_other() -> None:
    policies = policies_of(kept := Kept())

    with watching(policies, BEGAN) as first, watching(policies, BEGAN) as second:
        await through(policies, CALL, answer)
        second.ended("completed")
        first.ended("completed")

    assert [ended.status for ended in kept.of(RunEnded)] == ["completed", "completed"]
